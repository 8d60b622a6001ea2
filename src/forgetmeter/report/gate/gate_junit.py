"""Verdicts of a gate as JUnit XML, which CI systems show as tests."""

from __future__ import annotations

from typing import Literal
from xml.etree import ElementTree

from forgetmeter.basics.visible_text import visible_line
from forgetmeter.report.gate.gate_words import observed, remark, subject
from forgetmeter.report.words.recipe_words import variant_name
from forgetmeter.results.gate.check import CheckResult
from forgetmeter.results.gate.gate import Gate

Undecided = Literal["pass", "fail"]


def gate_junit(gate: Gate, *, inconclusive: Undecided) -> str:
    """Return one test suite per variant, with one test case per check.

    Args:
        gate: The verdicts.
        inconclusive: Whether checks that are INCONCLUSIVE or UNMEASURED are skipped tests, or failed ones.
    """
    suites = ElementTree.Element("testsuites", name="forgetmeter gate")
    for variant in gate.variants:
        name = visible_line(f"{variant.model} {variant_name(variant.recipe)}")
        suite = ElementTree.SubElement(suites, "testsuite", name=name, tests=str(len(variant.results)))
        if gate.policy.digest is not None:
            properties = ElementTree.SubElement(suite, "properties")
            ElementTree.SubElement(properties, "property", name="policy.sha256", value=gate.policy.digest)
        counts = {"failure": 0, "skipped": 0}
        for each in variant.results:
            case = ElementTree.SubElement(
                suite,
                "testcase",
                classname=name,
                name=visible_line(f"{each.check.condition} on {subject(each.check)}"),
            )
            if (kind := _kind(each, inconclusive)) is not None:
                counts[kind] += 1
                ElementTree.SubElement(case, kind, message=_message(each))
        suite.set("failures", str(counts["failure"]))
        suite.set("skipped", str(counts["skipped"]))
    ElementTree.indent(suites)
    return ElementTree.tostring(suites, encoding="unicode", xml_declaration=True) + "\n"


def _kind(result: CheckResult, inconclusive: Undecided) -> Literal["failure", "skipped"] | None:
    if result.verdict == "PASS":
        return None
    return "failure" if result.verdict == "FAIL" or inconclusive == "fail" else "skipped"


def _message(result: CheckResult) -> str:
    details = [text for text in (observed(result) if result.measured else "", remark(result)) if text]
    return visible_line(f"{result.verdict}: {'; '.join(details)}")

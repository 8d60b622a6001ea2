"""Verdicts of a gate in each format.

Covers ``report.gate.gate_words``, ``report.gate.gate_text``, ``report.gate.gate_markdown``,
``report.gate.gate_json`` and ``report.gate.gate_junit``.
"""

from __future__ import annotations

import json
from xml.etree import ElementTree

import numpy as np
import pytest
from made_up_run import MadeUpTask, write_made_up_run

from forgetmeter.report.gate.gate_json import gate_json
from forgetmeter.report.gate.gate_junit import gate_junit
from forgetmeter.report.gate.gate_markdown import gate_markdown
from forgetmeter.report.gate.gate_text import gate_text
from forgetmeter.results.gate.gating import gate

PRUNED, ROUNDED = "l1_unstructured:overall:0.5", "round_to_nearest:overall:4"


def right(task, recipe, random):
    known = np.arange(task.items) % 10 < 8
    return known & (np.arange(task.items) % 10 != 0) if recipe == PRUNED else known


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    location = str(tmp_path_factory.mktemp("gate") / "run")
    write_made_up_run(
        location, recipes=[PRUNED, ROUNDED], right=right, tasks=[MadeUpTask("plain", 400), MadeUpTask("few", 20)]
    )
    return gate(location, margin="2pt", max_size="60%")


def test_text(found) -> None:
    text = gate_text(found, width=140).plain
    assert "org/made-up · l1_unstructured:overall:0.5: FAIL" in text
    lines = [line.split() for line in text.splitlines()]
    assert ["FAIL", "drop", "≤", "2", "points", "plain", "10.0", "[6.9,", "13.4]", "400"] in lines
    assert "would decide" in text
    assert text.endswith("FAIL: do not ship it (0 of 2 variants pass)\n")


def test_markdown(found) -> None:
    text = gate_markdown(found)
    assert text.startswith("## FAIL: do not ship it")
    assert "| FAIL | drop ≤ 2 points | plain | 10.0 \\[6.9, 13.4\\] | 400 |  |" in text


def test_json(found) -> None:
    document = json.loads(gate_json(found))
    assert (document["schema_version"], document["verdict"]) == (1, "FAIL")
    first = document["variants"][0]["checks"][0]
    assert (first["verdict"], first["task"], first["limit"]) == ("FAIL", "plain", 0.02)
    assert first["observed"]["value"] == pytest.approx(0.1)
    assert document["policy"]["sha256"] is None
    assert document["policy"]["conditions"][0]["source"] == "--margin"


@pytest.mark.parametrize(("inconclusive", "failures", "skipped"), [("fail", [2, 2], [0, 0]), ("pass", [1, 1], [1, 1])])
def test_junit(found, inconclusive, failures, skipped) -> None:
    suites = list(ElementTree.fromstring(gate_junit(found, inconclusive=inconclusive)))
    assert [suite.get("name") for suite in suites] == [f"org/made-up {PRUNED}", f"org/made-up {ROUNDED}"]
    assert [int(suite.get("failures")) for suite in suites] == failures
    assert [int(suite.get("skipped")) for suite in suites] == skipped
    assert [len(suite.findall("testcase/failure")) for suite in suites] == failures
    assert suites[0].find("testcase/failure").get("message").startswith("FAIL: 10.0 [6.9, 13.4]")


def test_hostile_names_are_escaped(tmp_path) -> None:
    location = write_made_up_run(
        str(tmp_path / "run"), recipes=[ROUNDED], right=right, tasks=[MadeUpTask("a\x1b[31m<b>|c", 400)]
    )
    hostile = gate(location, margin="2pt")
    assert "\x1b" not in gate_markdown(hostile)
    assert "\\<b\\>\\|c" in gate_markdown(hostile)
    case = ElementTree.fromstring(gate_junit(hostile, inconclusive="fail")).find("testsuite/testcase")
    assert "<b>|c" in case.get("name")

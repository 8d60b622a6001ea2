"""Findings for the terminal."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

from rich.text import Text

from forgetmeter.report.words.numbers import interval, points, probability
from forgetmeter.results.findings.finding import VERDICTS, Claim, Finding, ModelResult, TaskResult, Verdict
from forgetmeter.statistics.paired import Estimate

_INDENT = 16
_MARKS: dict[Verdict, tuple[str, str]] = {
    "supported": ("✓ supported", "bold green"),
    "contradicted": ("✗ contradicted", "bold red"),
    "inconclusive": ("? inconclusive", "bold yellow"),
    "not tested": ("– not tested", "dim"),
}
_HOW_TO_READ = (
    "Effects are in points (hundredths), with their 95% interval; values above 0, or above the threshold if one is "
    "given, support the claim. A verdict needs the whole interval on one side, and p (Holm) below 0.05, corrected for "
    "all claims and models tested in this run; if every resample of the items gives the same value, there is no "
    "interval. docs/findings.md has the formulas; --json has tests and recipes."
)


def findings_text(findings: Sequence[Finding], *, remarks: Sequence[str] = (), width: int) -> Text:
    """Return findings as styled text for a rich console, tested ones first.

    Args:
        remarks: Remarks on the run, one sentence each.
    """
    text = _numbers(findings, width)
    tested = [finding for finding in findings if finding.verdict != "not tested"]
    for finding in tested:
        text.append_text(_finding(finding, width))
        text.append("\n")
    untested = [finding for finding in findings if finding.verdict == "not tested"]
    for finding in untested:
        text.append_text(_heading(finding, width))
        text.append_text(_wrapped(finding.missing, width, "dim"))
    if untested:
        text.append("\n")
    for remark in remarks:
        text.append(textwrap.fill(remark, width) + "\n", "yellow")
    if remarks:
        text.append("\n")
    text.append("How to read this\n", "bold")
    text.append(textwrap.fill(_HOW_TO_READ, width) + "\n")
    return text


def _numbers(findings: Sequence[Finding], width: int) -> Text:
    verdicts = [finding.verdict for finding in findings]
    tested = len(verdicts) - verdicts.count("not tested")
    numbers = ", ".join(f"{verdicts.count(each)} {each}" for each in VERDICTS if verdicts.count(each))
    return Text(textwrap.fill(f"{tested} of {len(findings)} claims could be tested: {numbers}.", width) + "\n\n")


def _finding(finding: Finding, width: int) -> Text:
    text = _heading(finding, width)
    text.append_text(_wrapped(finding.claim.question, width, "italic"))
    for result in finding.results:
        text.append_text(_model(finding.claim, result, width, is_alone=len(finding.results) == 1))
    return text


def _heading(finding: Finding, width: int) -> Text:
    mark, style = _MARKS[finding.verdict]
    text = Text()
    text.append(mark.ljust(_INDENT), style)
    lines = textwrap.wrap(f"{finding.claim.sentence} ({finding.claim.source})", max(width - _INDENT, 30))
    text.append(f"\n{' ' * _INDENT}".join(lines) + "\n", "bold")
    return text


def _model(claim: Claim, result: ModelResult, width: int, *, is_alone: bool) -> Text:
    text = Text()
    if result.effect is None or result.p_holm is None:
        return text.append_text(_wrapped(f"{result.model}: not tested: {result.missing}", width, "dim"))
    mark, style = _MARKS[result.verdict]
    text.append(" " * _INDENT + result.model, "magenta")
    text.append(f"  {effect_text(claim, result.effect)}", "bold")
    text.append(f"  p (Holm) {probability(result.p_holm)}")
    text.append("\n" if is_alone else f"  {mark}\n", style)
    tested = [task for task in result.tasks if task.effect is not None]
    for task in tested:
        text.append_text(_wrapped(_task(task, is_alone=len(tested) == 1), width, "", more=2))
    untested: dict[str, list[str]] = {}
    for task in result.tasks:
        if task.effect is None:
            untested.setdefault(task.missing, []).append(task.task)
    for reason, names in untested.items():
        text.append_text(_wrapped(f"not tested on {', '.join(names)}: {reason}", width, "dim", more=2))
    return text


def effect_text(claim: Claim, effect: Estimate) -> str:
    """Return an effect in points, with its interval, its unit and the claim's threshold."""
    threshold = f"; threshold: {points(claim.threshold)}" if claim.threshold else ""
    return f"{_with_interval(effect)} points ({claim.unit}{threshold})"


def _with_interval(effect: Estimate) -> str:
    shown = f"{'+' if effect.value > 0 else ''}{points(effect.value)}"
    # Equal resamples give no interval, which does not mean certainty.
    return f"{shown} [no interval]" if effect.low == effect.high else f"{shown} {interval(effect)}"


def _task(task: TaskResult, *, is_alone: bool) -> str:
    assert task.effect is not None
    if is_alone:
        return f"on {task.task}" + (f" · {task.detail}" if task.detail else "")
    return f"{task.task}: {_with_interval(task.effect)}" + (f" · {task.detail}" if task.detail else "")


def _wrapped(line: str, width: int, style: str, *, more: int = 0) -> Text:
    space = " " * (_INDENT + more)
    lines = textwrap.wrap(line, max(width - len(space), 30), break_long_words=False, break_on_hyphens=False)
    return Text("".join(f"{space}{each}\n" for each in lines), style)

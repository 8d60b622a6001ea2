"""Verdicts of a gate in words."""

from __future__ import annotations

import math

from forgetmeter.basics.plural import counted, megabytes
from forgetmeter.report.words.numbers import MISSING, count, percent, percent_interval, points_interval
from forgetmeter.results.gate.check import CheckResult, GateCheck, GateVerdict
from forgetmeter.results.gate.gate import Gate, VariantGate

ANSWERS: dict[GateVerdict, str] = {
    "PASS": "ship it",
    "FAIL": "do not ship it",
    "INCONCLUSIVE": "cannot tell yet",
    "UNMEASURED": "cannot tell",
}
_MOST_ITEMS = 10**7


def answer(gate: Gate) -> str:
    """Return the verdict on a run as a sentence: ``PASS: ship it (2 of 2 variants pass)``."""
    passed = sum(each.verdict == "PASS" for each in gate.variants)
    verb = "passes" if passed == 1 else "pass"
    of = "" if len(gate.variants) == 1 else f" ({passed} of {counted(len(gate.variants), 'variant')} {verb})"
    return f"{gate.verdict}: {ANSWERS[gate.verdict]}{of}"


def how_to_read(gate: Gate) -> str:
    """Return what the verdicts on checks mean."""
    digest = gate.policy.digest
    return (
        "PASS: the whole 95% interval meets the condition. FAIL: the whole interval is beyond the limit, corrected for "
        f"the number of checks ({gate.checks:,}). INCONCLUSIVE: neither; the number of items that would decide, with a "
        "probability of 80%, assumes that the true value is the observed one. A drop is in points of accuracy."
        f"{'' if digest is None else f' SHA-256 of the policy: {digest}.'}"
    )


def size_in_words(variant: VariantGate) -> str:
    """Return the size of a variant beside that of its original; empty if it is unknown."""
    if (sizes := both_sizes(variant)) is None:
        return ""
    after, before, share = sizes
    return f"{after}, {percent(share)} of the original's {before}"


def both_sizes(variant: VariantGate) -> tuple[str, str, float] | None:
    """Return the sizes of a variant and of its original, and the first divided by the second."""
    if variant.bytes is None or not variant.original:
        return None
    after, before = megabytes([variant.bytes, variant.original])
    return f"{after} MB", f"{before} MB", variant.bytes / variant.original


def subject(check: GateCheck) -> str:
    """Return what a check is about: its task and relation."""
    if check.condition.quantity == "size":
        return "the model"
    if check.task is None:
        return f"mean of {counted(len(check.tasks), 'task')}"
    return check.task if check.relation is None else f"{check.task}, {check.relation or 'without a relation'}"


def observed(result: CheckResult) -> str:
    """Return what was observed, with its 95% interval."""
    if result.measured is None:
        return MISSING
    estimate, quantity = result.measured.estimate, result.check.condition.quantity
    if quantity == "size":
        (size,) = megabytes([int(estimate.value)])
        return f"{size} MB"
    if quantity == "divergence":
        low, high = (f"{each:.4f}" if math.isfinite(each) else "unknown" for each in (estimate.low, estimate.high))
        return f"{estimate.value:.4f} [{low}, {high}]"
    return points_interval(estimate) if quantity == "drop" else percent_interval(estimate)


def items(result: CheckResult) -> str:
    """Return the number of items that were asked."""
    return MISSING if result.measured is None else count(result.measured.items)


def remark(result: CheckResult) -> str:
    """Return why a check is undecided and what would decide it, and how many answers are missing."""
    missing = 0 if result.measured is None else result.measured.missing
    if missing:
        return f"{counted(missing, 'answer')} missing, which may be right or wrong"
    if result.verdict != "INCONCLUSIVE":
        return result.reason
    assert result.measured is not None
    if option := result.measured.stopped:
        return f"it stopped early ({option}); run it without {option} to ask the other items"
    if not math.isfinite(result.measured.estimate.high):
        return "too few tokens for an upper limit"
    if result.needed is None:
        return "observed at the limit: no number of items would decide"
    unit = "relation" if result.measured.relations else "text" if result.check.condition.is_of_texts else "item"
    if result.needed > _MOST_ITEMS:
        return f"more than {counted(_MOST_ITEMS, unit)} would be needed"
    now = f" (now {result.measured.relations})" if result.measured.relations else ""
    return f"about {counted(_rounded(result.needed), unit)} would decide{now}"


def _rounded(number: int) -> int:
    """Round up to two digits."""
    unit = 10 ** max(len(str(number)) - 2, 0)
    return int(-(-number // unit) * unit)

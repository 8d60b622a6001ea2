"""One condition, checked for one variant."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from forgetmeter.specs.condition import Condition
from forgetmeter.statistics.paired import CONFIDENCE, Estimate, normal_quantile
from forgetmeter.statistics.resolution import t_quantile

GateVerdict = Literal["PASS", "FAIL", "INCONCLUSIVE", "UNMEASURED"]
_WORST_FIRST: tuple[GateVerdict, ...] = ("FAIL", "UNMEASURED", "INCONCLUSIVE", "PASS")
POWER = 0.8
"""Probability with which the number of items that is said to be needed leads to a verdict."""
_ROUNDS = 10


@dataclass(frozen=True)
class GateCheck:
    """A condition on a variant, for one task, relation or mean.

    Attributes:
        task: The task or group of tasks; ``None`` for a size, and for the mean over all tasks.
        tasks: The tasks that are measured: the task itself, those of the group, or all; empty for a size.
        relation: The relation; ``None`` for all items, and empty for items without one.
    """

    condition: Condition
    model: str
    recipe: str
    task: str | None
    tasks: tuple[str, ...]
    relation: str | None = None


@dataclass(frozen=True)
class Measured:
    """What was observed.

    Attributes:
        estimate: The quantity with its 95% interval; for a size, in bytes, as an interval of width zero.
        wide: The same with an interval that holds for all checks of the gate together with a probability of 95%.
        wide_confidence: Confidence of that interval alone.
        items: Number of items; ``None`` for a size.
        relations: Number of relations that the interval is over; ``None`` for intervals over items.
        stopped: The option by which it stopped early; empty if it was asked all items.
        missing: Number of items that only the baseline answered. They are not in ``items`` and not in the value, but
            the intervals hold whether they are right or wrong.
    """

    estimate: Estimate
    wide: Estimate
    wide_confidence: float = CONFIDENCE
    items: int | None = None
    relations: int | None = None
    missing: int = 0
    stopped: str = ""


@dataclass(frozen=True)
class CheckResult:
    """The verdict on a check.

    Attributes:
        limit: The condition's limit; for a size, in bytes; ``None`` if that is not known.
        measured: What was observed; ``None`` if it was not measured.
        reason: Why it is not measured, or not decided; empty otherwise.
        needed: Number of items, or of relations if the interval is over relations, that would lead to a verdict with a
            probability of 80% if the true value is the observed one; ``None`` if decided or beyond any number.
    """

    check: GateCheck
    verdict: GateVerdict
    limit: float | None
    measured: Measured | None = None
    reason: str = ""
    needed: int | None = None


def judge(check: GateCheck, limit: float, measured: Measured) -> CheckResult:
    """Judge what was observed: non-inferiority by intervals.

    It passes if the whole 95% interval meets the condition. It fails if the whole interval of all checks together is
    beyond the limit. Each limit of an interval is wrong in at most 2.5% of the cases, and so is any FAIL of a gate:
    over items always, and over relations as far as those asked show how relations differ.
    """
    wide, is_minimum = measured.wide, check.condition.is_minimum
    if _meets(measured.estimate, limit, is_minimum=is_minimum):
        return CheckResult(check, "PASS", limit, measured)
    if _is_beyond(wide, limit, is_minimum=is_minimum):
        return CheckResult(check, "FAIL", limit, measured)
    return CheckResult(check, "INCONCLUSIVE", limit, measured, needed=_needed(measured, limit, is_minimum=is_minimum))


def by_severity(verdict: GateVerdict) -> int:
    """Return the place of a verdict in the order of severity; PASS is last."""
    return _WORST_FIRST.index(verdict)


def worst(verdicts: Iterable[GateVerdict]) -> GateVerdict:
    """Return the verdict on all conditions together: all must pass, and one that fails decides."""
    return min(verdicts, key=by_severity, default="PASS")


def _meets(estimate: Estimate, limit: float, *, is_minimum: bool) -> bool:
    return estimate.low >= limit if is_minimum else estimate.high <= limit


def _is_beyond(estimate: Estimate, limit: float, *, is_minimum: bool) -> bool:
    return estimate.high < limit if is_minimum else estimate.low > limit


def _needed(measured: Measured, limit: float, *, is_minimum: bool) -> int | None:
    """Return how many units decide: as intervals shrink with the square root of their number, and with t quantiles."""
    value = measured.estimate.value
    units, away = measured.relations or measured.items, abs(limit - value)
    if units is None or not away or measured.missing:
        return None
    will_pass = value >= limit if is_minimum else value <= limit
    interval, confidence = (measured.estimate, CONFIDENCE) if will_pass else (measured.wide, measured.wide_confidence)
    side = interval.high - value if limit > value else value - interval.low
    if not math.isfinite(side):
        return None

    def quantile(number: float) -> float:
        return t_quantile(number, confidence) if measured.relations else normal_quantile(confidence)

    error = side / quantile(units) * math.sqrt(units)
    beyond, needed = normal_quantile(2 * POWER - 1), float(units)
    # More relations have a smaller quantile, so that fewer are needed; a few rounds settle it.
    for _ in range(_ROUNDS):
        needed = max(units + 1, ((quantile(needed) + beyond) * error / away) ** 2)
    return round(needed)

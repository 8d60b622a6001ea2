"""When asking a cell's items may stop: after which parts, and what has to be known about its drop."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial, reduce

import numpy as np

from forgetmeter.records.stop_rule import StopRule
from forgetmeter.statistics.anytime import Drawn, anytime_interval
from forgetmeter.statistics.correction import joint_confidence
from forgetmeter.statistics.paired import CONFIDENCE, Estimate
from forgetmeter.statistics.resampling import hull

_FIRST = 64
"""Items of the first part."""
_GROWTH = 0.2
"""Items of each further part, as a share of those before it."""


def parts_of(units: Sequence[Sequence[int]]) -> Iterator[list[int]]:
    """Yield the items to ask next, in parts of whole units.

    Args:
        units: The units in the order of asking: for each, the places of its items.
    """
    asked, part = 0, list[int]()
    for unit in units:
        part.extend(unit)
        if len(part) >= max(_FIRST, asked * _GROWTH):
            asked += len(part)
            yield part
            part = []
    if part:
        yield part


def rule_met(
    units: Sequence[Sequence[str]],
    before: Mapping[str, bool],
    after: Mapping[str, bool],
    *,
    asked: Iterable[str],
    rule: StopRule,
) -> StopRule | None:
    """Return a rule if what was asked so far is enough for it, with the number of checks that it holds for.

    Args:
        units: The units in the order of asking: for each, the ids of its items.
        before: Whether the baseline was right, by item id; of all units.
        after: Whether the variant was right, by item id, as far as it answered.
        asked: The ids of the items that it was asked.
        rule: What has to be known.
    """
    asked = list(asked)
    drop = known_drop(units, before, after, asked=asked, aim=rule.precision)
    if rule.margin is None:
        return rule if (drop.high - drop.low) / 2 <= rule.precision else None
    if drop.high <= rule.margin:
        return replace(rule, checks=0)
    if drop.low > rule.margin:
        confidence = joint_confidence(rule.checks)
        wide = known_drop(units, before, after, asked=asked, aim=rule.precision, confidence=confidence)
        return rule if wide.low > rule.margin else None
    return None


def known_drop(
    units: Sequence[Sequence[str]],
    before: Mapping[str, bool],
    after: Mapping[str, bool],
    *,
    asked: Iterable[str],
    aim: float,
    confidence: float = CONFIDENCE,
) -> Estimate:
    """Return the drop with an interval that is valid at all times, whether missing answers are right or wrong.

    Args:
        units: As for ``rule_met``.
        before: Likewise.
        after: Likewise.
        asked: Likewise.
        aim: Difference that the bets are tuned for.
        confidence: Confidence of the interval.
    """
    missing = [each for each in asked if each not in after]
    interval = partial(_interval, units, before, aim=aim, confidence=confidence)
    cases = (True, False) if missing else ()
    return reduce(hull, (interval({**after, **dict.fromkeys(missing, each)}) for each in cases), interval(after))


def _interval(
    units: Sequence[Sequence[str]],
    before: Mapping[str, bool],
    after: Mapping[str, bool],
    *,
    aim: float,
    confidence: float,
) -> Estimate:
    paired = [[each for each in unit if each in after] for unit in units]
    return anytime_interval(
        Drawn(
            np.array([sum(before[each] - after[each] for each in unit) for unit in paired], dtype=np.float64),
            np.array([len(unit) for unit in paired], dtype=np.float64),
            low=-1,
            high=1,
            largest=max(map(len, units)),
            aim=aim,
        ),
        confidence=confidence,
    )

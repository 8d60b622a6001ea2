"""When asking a cell's items may stop: after which parts, and what has to be known about its drop."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from forgetmeter.records.stop_rule import StopRule
from forgetmeter.statistics.anytime import Drawn, anytime_interval
from forgetmeter.statistics.paired import CONFIDENCE, Estimate

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


def is_known(
    units: Sequence[Sequence[str]], before: Mapping[str, bool], after: Mapping[str, bool], *, rule: StopRule
) -> bool:
    """Return whether the drop on what was asked so far is known as well as a rule demands.

    Args:
        units: The units in the order of asking: for each, the ids of its items.
        before: Whether the baseline was right, by item id; of all units.
        after: Whether the variant was right, by item id, as far as it was asked.
        rule: What has to be known.
    """
    drop = known_drop(units, before, after, aim=rule.precision)
    if rule.margin is None:
        return (drop.high - drop.low) / 2 <= rule.precision
    if drop.high <= rule.margin or drop.low <= rule.margin:
        return drop.high <= rule.margin
    corrected = 1 - (1 - CONFIDENCE) / rule.checks
    return known_drop(units, before, after, aim=rule.precision, confidence=corrected).low > rule.margin


def known_drop(
    units: Sequence[Sequence[str]],
    before: Mapping[str, bool],
    after: Mapping[str, bool],
    *,
    aim: float,
    confidence: float = CONFIDENCE,
) -> Estimate:
    """Return the drop with an interval that is valid at all times.

    Args:
        units: The units in the order of asking: for each, the ids of its items.
        before: Whether the baseline was right, by item id; of all units.
        after: Whether the variant was right, by item id, as far as it was asked.
        aim: Difference that the bets are tuned for.
        confidence: Confidence of the interval.
    """
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

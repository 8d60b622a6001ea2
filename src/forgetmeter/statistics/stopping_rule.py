"""When asking a cell's items may stop: after which parts, and how precisely its drop has to be known."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from forgetmeter.statistics.anytime import Drawn, anytime_interval

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


def precision_reached(
    units: Sequence[Sequence[str]], before: Mapping[str, bool], after: Mapping[str, bool], *, aim: float
) -> float:
    """Return to plus or minus how much the drop is known.

    Args:
        units: The units in the order of asking: for each, the ids of its items.
        before: Whether the baseline was right, by item id; of all units.
        after: Whether the variant was right, by item id, as far as it was asked.
        aim: How precisely the drop has to be known.
    """
    paired = [[each for each in unit if each in after] for unit in units]
    interval = anytime_interval(
        Drawn(
            np.array([sum(before[each] - after[each] for each in unit) for unit in paired], dtype=np.float64),
            np.array([len(unit) for unit in paired], dtype=np.float64),
            low=-1,
            high=1,
            largest=max(map(len, units)),
            aim=aim,
        )
    )
    return (interval.high - interval.low) / 2

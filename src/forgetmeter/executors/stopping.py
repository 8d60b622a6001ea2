"""Asks the items of a cell part by part, until its drop is known as precisely as wanted."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from forgetmeter.records.item import Item
from forgetmeter.records.outcome import Outcome
from forgetmeter.statistics.anytime import Drawn, anytime_interval
from forgetmeter.statistics.asking_order import unit_keys, units_in_order

_FIRST = 64
"""Items of the first part."""
_GROWTH = 0.2
"""Items of each further part, as a share of those before it."""


class Stopping:
    """The order in which a cell's items are asked, and the rule for when to stop.

    Args:
        items: The task's items.
        before: Whether the baseline was right, by item id; items missing from it are not asked.
        precision: The drop has to be known to plus or minus this.
        seed: Random seed of the order.
    """

    def __init__(self, items: Sequence[Item], before: Mapping[str, bool], *, precision: float, seed: int) -> None:
        self._ids = [item.id for item in items]
        self._before = before
        self._precision = precision
        asked = [place for place, item in enumerate(items) if item.id in before]
        keys = unit_keys(
            [self._ids[place] for place in asked], [items[place].fields.get("relation") for place in asked]
        )
        self._units = [[asked[place] for place in unit] for unit in units_in_order(keys, seed=seed)]

    def parts(self) -> Iterator[list[int]]:
        """Yield the indices of the items to ask next, in parts of whole units (items or, if enough, relations)."""
        asked, part = 0, list[int]()
        for unit in self._units:
            part = part + unit
            if len(part) >= max(_FIRST, asked * _GROWTH):
                asked += len(part)
                yield part
                part = []
        if part:
            yield part

    def is_known(self, outcomes: Sequence[Outcome]) -> bool:
        """Return whether the drop on the items asked so far is known precisely enough."""
        after = {outcome.item_id: bool(outcome.correct) for outcome in outcomes}
        paired = [[each for place in unit if (each := self._ids[place]) in after] for unit in self._units]
        interval = anytime_interval(
            Drawn(
                np.array([sum(self._before[each] - after[each] for each in unit) for unit in paired], dtype=np.float64),
                np.array([len(unit) for unit in paired], dtype=np.float64),
                low=-1,
                high=1,
                largest=max(map(len, self._units)),
                aim=self._precision,
            )
        )
        return (interval.high - interval.low) / 2 <= self._precision

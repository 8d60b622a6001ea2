"""Asks the items of a cell part by part, until enough is known about its drop."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import chain, islice

from forgetmeter.records.item import Item
from forgetmeter.records.outcome import Outcome
from forgetmeter.records.stop_rule import StopRule
from forgetmeter.statistics.asking_order import unit_keys, units_in_order
from forgetmeter.statistics.stopping_rule import parts_of, rule_met


class Stopping:
    """The order in which a cell's items are asked, and the rule for when to stop.

    Args:
        items: The task's items.
        before: Whether the baseline was right, by item id; items missing from it are not asked.
        rule: What has to be known.
        seed: Random seed of the order.
    """

    def __init__(self, items: Sequence[Item], before: Mapping[str, bool], *, rule: StopRule, seed: int) -> None:
        self._ids = [item.id for item in items]
        self._before = before
        self.rule = rule
        asked = [place for place, item in enumerate(items) if item.id in before]
        ids = [self._ids[place] for place in asked]
        keys = unit_keys(ids, [items[place].fields.get("relation") for place in asked])
        self.is_by_relation = keys != ids
        """Whether whole relations are asked, so that there are few units."""
        self._units = [[asked[place] for place in unit] for unit in units_in_order(keys, seed=seed)]

    def parts(self) -> Iterator[list[int]]:
        """Return the indices of the items to ask next, in parts of whole units (items or, if enough, relations)."""
        return parts_of(self._units)

    def met(self, outcomes: Sequence[Outcome], *, asked: int) -> StopRule | None:
        """Return the rule if the items asked so far are enough for it, with the number of checks that it holds for.

        Args:
            outcomes: The outcomes so far.
            asked: Number of items of the parts so far; some may have no outcome.
        """
        after = {outcome.item_id: bool(outcome.correct) for outcome in outcomes}
        units = [[self._ids[place] for place in unit] for unit in self._units]
        first = islice(chain.from_iterable(units), asked)
        return rule_met(units, self._before, after, asked=first, rule=self.rule)

"""Checks that the answers of a cell that stopped early are of the items that were asked first."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import accumulate

from forgetmeter.basics.plural import counted
from forgetmeter.runs.stored import StoredCell
from forgetmeter.statistics.asking_order import unit_keys, units_in_order
from forgetmeter.statistics.correction import joint_confidence
from forgetmeter.statistics.stopping_rule import known_drop, parts_of

_ROUNDING = 1e-6
"""Relative difference between the intervals that two machines compute."""


def stopped_problems(
    cell: StoredCell,
    after: Mapping[str, bool],
    before: Mapping[str, bool],
    relations: Sequence[tuple[str, str | None]],
    *,
    seed: int,
) -> Iterator[str]:
    """Yield why a cell that states a precision cannot have stopped where it did.

    Args:
        cell: A cell with a precision.
        after: Whether its answers are right, by item id.
        before: The baseline's.
        relations: The id and the relation of each of the task's items, in order.
        seed: Random seed of the order of asking.
    """
    assert cell.precision is not None
    asked = [(item, relation) for item, relation in relations if item in before]
    ids = [item for item, _ in asked]
    places = units_in_order(unit_keys(ids, [relation for _, relation in asked]), seed=seed)
    dropped = sum(cell.dropped.values())
    for few in accumulate(parts_of(places)):
        part = {ids[place] for place in few}
        # Those that the model could not be scored on have no answer.
        if after.keys() <= part and len(part) - len(after) == dropped:
            break
    else:
        yield "it states that asking stopped early, and its answers are not those of the items that were asked first"
        return
    units = [[ids[place] for place in unit] for unit in places]
    drop = known_drop(units, before, after, asked=part, aim=cell.precision)
    reached = (drop.high - drop.low) / 2
    if cell.margin is not None:
        if cell.margin != cell.precision:
            yield f"it states a margin of {cell.margin:g} and a precision of {cell.precision:g}, which must be equal"
            return
        if checks := cell.checks:
            confidence = joint_confidence(checks)
            drop = known_drop(units, before, after, asked=part, aim=cell.precision, confidence=confidence)
        is_certain = drop.low * (1 + _ROUNDING) > cell.margin if checks else drop.high / (1 + _ROUNDING) <= cell.margin
        if checks < 0 or not is_certain:
            which = f"above {cell.margin:g}, for {counted(checks, 'check')}" if checks else f"at most {cell.margin:g}"
            yield (
                f"it states that its drop is certain to be {which}, and its answers give {drop.low:.4f} to "
                f"{drop.high:.4f}"
            )
    elif reached > cell.precision * (1 + _ROUNDING):
        yield f"it states that its drop is known to ±{cell.precision:g}, and its answers give ±{reached:.4f}"

"""Comparisons of cells that stopped early: intervals and p-values that are valid at the moment of stopping."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from forgetmeter.results.compared.cell_summary import CellSummary
from forgetmeter.runs.content.answers import Answers
from forgetmeter.statistics.anytime import Drawn, anytime_interval, anytime_p_value
from forgetmeter.statistics.asking_order import unit_keys, units_in_order
from forgetmeter.statistics.paired import CONFIDENCE, Estimate
from forgetmeter.statistics.stopping_rule import parts_of


def stopped_early(
    cell: CellSummary, answers: Answers, *, precision: float, seed: int, confidence: float = CONFIDENCE
) -> CellSummary:
    """Return the summary of a cell with intervals and p-values that allow for stopping when the drop is known.

    Args:
        cell: The summary, with intervals for a number of items that was fixed in advance.
        answers: The outcomes of its model and task.
        precision: How precisely the drop was to be known.
        seed: Random seed of the order of the items.
        confidence: Confidence level of the intervals.
    """
    if cell.drop is None:
        return cell
    row = answers.recipes.index(cell.recipe)
    sequence = _Sequence.of(answers, answers.paired[row], precision=precision, seed=seed)
    kept = answers.correct[row].astype(np.float64)
    drop = sequence.drawn(answers.known - kept, np.ones_like(answers.known), low=-1)
    retained, gained = (sequence.drawn(kept, of, low=0) for of in (answers.known, ~answers.known))
    p_value = anytime_p_value(drop, 0)
    return replace(
        cell,
        drop=anytime_interval(drop, confidence=confidence),
        p_value=p_value,
        p_relations=None if cell.p_relations is None else p_value,
        retained=cell.retained and anytime_interval(retained, confidence=confidence),
        gained_share=cell.gained_share and anytime_interval(gained, confidence=confidence),
    )


def asked_items(answers: Answers, row: int, *, seed: int) -> NDArray[np.bool_]:
    """Return the items that a variant was asked before it stopped early, answered or not, shape ``(items,)``.

    Args:
        answers: The outcomes of its model and task, the baseline's among them.
        row: The variant.
        seed: Random seed of the order of the items.
    """
    possible, asked = np.flatnonzero(answers.answered[answers.baseline]), np.zeros(len(answers.items), dtype=np.bool_)
    answered = answers.paired[row][possible]
    left = int(answered.sum())
    # Asking never stops after a part without an answer, which can only widen the interval.
    for part in parts_of(_places(answers, asked_by=answers.answered[answers.baseline], seed=seed)):
        if not left:
            break
        asked[possible[part]] = True
        left -= int(answered[part].sum())
    return asked


def stopped_difference(
    answers: Answers, difference: NDArray[np.float64], asked: NDArray[np.bool_], *, precision: float, seed: int
) -> tuple[Estimate, float]:
    """Return a mean difference between two variants that stopped early, and the p-value that it is zero.

    Args:
        answers: The outcomes of the model and task of one of them.
        difference: 1, 0 or -1 for each item, shape ``(items,)``.
        asked: The items that both answered, same shape.
        precision: How precisely their drops were to be known.
        seed: Random seed of the order of the items.
    """
    sequence = _Sequence.of(answers, asked, precision=precision, seed=seed)
    drawn = sequence.drawn(difference, np.ones_like(asked), low=-1)
    return anytime_interval(drawn), anytime_p_value(drawn, 0)


@dataclass(frozen=True, eq=False)
class _Sequence:
    """Items of a task in the order of asking.

    Attributes:
        possible: Items that the baseline was asked, shape ``(items of the task,)``.
        paired: Those of them that count, shape ``(possible items,)``.
        unit: The place of each possible item's unit in the order of asking, same shape.
    """

    possible: NDArray[np.bool_]
    paired: NDArray[np.bool_]
    unit: NDArray[np.int64]
    precision: float

    @classmethod
    def of(cls, answers: Answers, paired: NDArray[np.bool_], *, precision: float, seed: int) -> _Sequence:
        possible = answers.answered[answers.baseline] | paired
        return cls(possible, paired[possible], _units(answers, possible, seed=seed), precision)

    def drawn(self, values: NDArray[np.float64], of: NDArray[np.bool_], *, low: float) -> Drawn:
        """Return the sums of values over some of the items, both of shape ``(items of the task,)``."""
        values, of = values[self.possible], of[self.possible]
        # Units that were not asked have no items in the sequence, which changes no stake.
        counted = (of & self.paired).astype(np.float64)
        sizes, possible = (np.bincount(self.unit, each).astype(np.float64) for each in (counted, of))
        totals = np.bincount(self.unit, values * counted).astype(np.float64)
        return Drawn(totals, sizes, low=low, high=1, largest=float(possible.max()), aim=self.precision)


def _units(answers: Answers, asked: NDArray[np.bool_], *, seed: int) -> NDArray[np.int64]:
    """Return the place of each asked item's unit in the order of asking."""
    unit = np.empty(int(asked.sum()), dtype=np.int64)
    for place, items in enumerate(_places(answers, asked_by=asked, seed=seed)):
        unit[items] = place
    return unit


def _places(answers: Answers, *, asked_by: NDArray[np.bool_], seed: int) -> list[list[int]]:
    """Return the units of some items in the order of asking: for each, the places of its items among these."""
    relations = [answers.relations[each] if each >= 0 else None for each in answers.relation[asked_by]]
    return units_in_order(unit_keys(list(answers.items[asked_by]), relations), seed=seed)

"""Comparisons of cells whose asking stopped early: intervals and p-values that hold at the moment of stopping."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from forgetmeter.results.compared.cell_summary import CellSummary
from forgetmeter.runs.content.answers import Answers
from forgetmeter.statistics.anytime import Drawn, anytime_interval, anytime_p_value
from forgetmeter.statistics.asking_order import unit_keys, units_in_order


def stopped_early(cell: CellSummary, answers: Answers, *, precision: float, seed: int) -> CellSummary:
    """Return the summary of a cell with intervals and p-values that allow for stopping when the drop is known.

    Args:
        cell: The summary, with intervals for a number of items that was fixed in advance.
        answers: The outcomes of its model and task.
        precision: How precisely the drop was to be known.
        seed: Random seed of the order of asking.
    """
    if cell.drop is None:
        return cell
    row = answers.recipes.index(cell.recipe)
    asked = answers.answered[answers.baseline]
    unit = _units(answers, asked, seed=seed)
    paired, known, right = (values[asked] for values in (answers.paired[row], answers.known, answers.correct[row]))

    def drawn(sums: NDArray[np.float64], of: NDArray[np.bool_], *, low: float) -> Drawn:
        # Units that were not asked have no items in the sequence, which changes no stake.
        counted = (of & paired).astype(np.float64)
        sizes, possible = (np.bincount(unit, each).astype(np.float64) for each in (counted, of))
        totals = np.bincount(unit, sums * counted).astype(np.float64)
        return Drawn(totals, sizes, low=low, high=1, largest=float(possible.max()), aim=precision)

    kept = right.astype(np.float64)
    drop = drawn(known - kept, np.ones_like(known), low=-1)
    p_value = anytime_p_value(drop, 0)
    return replace(
        cell,
        drop=anytime_interval(drop),
        p_value=p_value,
        p_relations=None if cell.p_relations is None else p_value,
        retained=cell.retained and anytime_interval(drawn(kept, known, low=0)),
        gained_share=cell.gained_share and anytime_interval(drawn(kept, ~known, low=0)),
    )


def _units(answers: Answers, asked: NDArray[np.bool_], *, seed: int) -> NDArray[np.int64]:
    """Return the place of each asked item's unit in the order of asking."""
    relations = [answers.relations[each] if each >= 0 else None for each in answers.relation[asked]]
    keys = unit_keys(list(answers.items[asked]), relations)
    unit = np.empty(len(keys), dtype=np.int64)
    for place, items in enumerate(units_in_order(keys, seed=seed)):
        unit[items] = place
    return unit

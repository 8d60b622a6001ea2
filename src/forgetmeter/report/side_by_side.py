"""Two runs side by side: the same recipes on the same tasks, with the difference."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from forgetmeter.results.compared.cell_summary import CellSummary
from forgetmeter.results.compared.clustered import paired_difference
from forgetmeter.results.compared.stopped import stopped_difference
from forgetmeter.results.results import Results
from forgetmeter.results.summary import Summary
from forgetmeter.runs.content.answers import Answers
from forgetmeter.runs.run import Run
from forgetmeter.statistics.paired import Estimate, mcnemar_exact


@dataclass(frozen=True)
class SideRow:
    """One recipe in both runs.

    Attributes:
        one: Its cell in the first run; ``None`` if missing.
        other: Its cell in the second run; ``None`` if missing.
        difference: Accuracy in the second run minus that in the first, on the items that are equal in both, with its
            interval, over relations if the task has enough, as in a run; ``None`` without such items.
        p_value: Exact McNemar test that the difference is zero, not corrected. If asking stopped early in one of them,
            it and the interval hold whenever asking stops.
        items: Number of paired items.
    """

    recipe: str
    one: CellSummary | None
    other: CellSummary | None
    difference: Estimate | None = None
    p_value: float | None = None
    items: int = 0


@dataclass(frozen=True)
class SideTable:
    """A model of the first run next to one of the second, on one task."""

    task: str
    one_model: str
    other_model: str
    rows: tuple[SideRow, ...]


@dataclass(frozen=True)
class SideBySide:
    """Two runs.

    Attributes:
        one: Location of the first run.
        other: Location of the second run.
        tables: One per shared task and pair of models: models of the same content or name if there are any, else all
            pairs.
        notes: What cannot be compared, one sentence each.
    """

    one: str
    other: str
    tables: tuple[SideTable, ...]
    notes: tuple[str, ...]


def side_by_side(one: Results, other: Results) -> SideBySide:
    """Compare two runs."""
    tables, notes = [], []
    tasks = [task.task for task in one.summary.tasks]
    theirs = {task.task for task in other.summary.tasks}
    shared = [task for task in tasks if task in theirs]
    for task in shared:
        same = _same_items(one.run, other.run, task)
        if not same:
            notes.append(f"{task}: the two runs have no item in common, so their outcomes cannot be paired.")
        for mine, their in _pairs(one.summary, other.summary):
            tables.append(SideTable(task, mine, their, tuple(_rows(one, other, (mine, their), task, same))))
    if not shared:
        notes.append("The two runs share no task, so they cannot be compared.")
    left = [task for task in tasks if task not in theirs]
    if left and shared:
        notes.append(f"Only in the first run: {', '.join(left)}.")
    return SideBySide(one.location, other.location, tuple(each for each in tables if each.rows), tuple(notes))


def _pairs(one: Summary, other: Summary) -> list[tuple[str, str]]:
    mine, theirs = (list(dict.fromkeys(cell.model for cell in summary.cells)) for summary in (one, other))
    contents = [summary.study.model_content for summary in (one, other)]
    every = [(left, right) for left in mine for right in theirs]

    def are_one(left: str, right: str) -> bool:
        return left == right or contents[0].get(left, left) == contents[1].get(right, right)

    return [pair for pair in every if are_one(*pair)] or every


def _same_items(one: Run, other: Run, task: str) -> frozenset[str]:
    """Return the ids of items with the same content in both runs."""
    texts = [run.item_texts[task] for run in (one, other) if task in run.item_texts]
    if len(texts) < 2:
        return frozenset()
    mine, theirs = (set(zip(each.ids, each.hashes, strict=True)) for each in texts)
    return frozenset(item for item, _ in mine & theirs)


def _rows(one: Results, other: Results, models: tuple[str, str], task: str, same: frozenset[str]) -> Iterable[SideRow]:
    cells = [
        {cell.recipe: cell for cell in results.summary.cells if (cell.model, cell.task) == (model, task)}
        for results, model in zip((one, other), models, strict=True)
    ]
    answers = [_answers(results.run, model, task) for results, model in zip((one, other), models, strict=True)]
    for recipe in dict.fromkeys([*cells[0], *cells[1]]):
        mine, theirs = cells[0].get(recipe), cells[1].get(recipe)
        if mine and theirs and answers[0] and answers[1]:
            yield _paired(SideRow(recipe, mine, theirs), answers[0], answers[1], same, settings=one.run.study.settings)
        else:
            yield SideRow(recipe, mine, theirs)


def _answers(run: Run, model: str, task: str) -> Answers | None:
    return next((each for each in run.answers if (each.model, each.task) == (model, task)), None)


def _paired(
    row: SideRow, one: Answers, other: Answers, same: frozenset[str], *, settings: Mapping[str, Any]
) -> SideRow:
    mine, theirs = one.recipes.index(row.recipe), other.recipes.index(row.recipe)
    right = {
        item: bool(correct)
        for item, answered, correct in zip(other.items, other.answered[theirs], other.correct[theirs], strict=True)
        if answered and item in same
    }
    asked = one.answered[mine] & np.asarray([item in right for item in one.items], dtype=np.bool_)
    if not asked.any():
        return row
    before, after = one.correct[mine], np.asarray([right.get(item, False) for item in one.items], dtype=np.bool_)
    lost, won = asked & before & ~after, asked & ~before & after
    precisions = [cell.aim for cell in (row.one, row.other) if cell and cell.aim is not None]
    if precisions and one.baseline is not None:
        gain, seed = won.astype(np.float64) - lost, int(settings["seed"])
        difference, p_value = stopped_difference(one, gain, asked, precision=max(precisions), seed=seed)
        return replace(row, difference=difference, p_value=p_value, items=int(asked.sum()))
    return replace(
        row,
        # Second minus first: what the second run gets right and the first wrong counts first.
        difference=paired_difference(one, lost=won, won=lost, asked=asked),
        p_value=mcnemar_exact(forgotten=int(lost.sum()), gained=int(won.sum())),
        items=int(asked.sum()),
    )

"""A run in numbers: every variant and every cell, compared with the baseline."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import product
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from statsmodels.stats.multitest import multipletests

from forgetmeter.analysis.baselines import TaskBaselines, task_baselines
from forgetmeter.analysis.frames import DROPPED, FILTERS, Run
from forgetmeter.analysis.measured import MeasuredSummary, is_judged, measured_cells
from forgetmeter.analysis.paired import CONFIDENCE, Paired, accuracy, compare_paired
from forgetmeter.specs.recipe import BASELINE
from forgetmeter.store.failure import Failure
from forgetmeter.store.outcomes_table import METRIC

SIGNIFICANT = 1 - CONFIDENCE


@dataclass(frozen=True)
class VariantSummary:
    """What a recipe made of a model; every number is ``None`` until the variant has been made.

    Attributes:
        model: The model, as text.
        recipe: The recipe, as text.
        sparsity: Share of zeros in the recipe's scopes; ``None`` where there are none.
        removed_weights: Zeros beyond those of the baseline.
        dense_bytes: Size stored plainly.
        bitmask_bytes: Size with zeros stored as a bitmask.
        quantized_bytes: Size with quantized matrices at their bits.
        simulated: Whether a step ran as a simulation.
        variant: The variant's id.
    """

    model: str
    recipe: str
    sparsity: float | None
    removed_weights: int | None
    dense_bytes: int | None
    bitmask_bytes: int | None
    quantized_bytes: int | None
    simulated: bool | None
    variant: str


@dataclass(frozen=True)
class TaskSummary:
    """A task and what it yields without knowledge.

    Attributes:
        task: Its name.
        items: Number of items.
        chance: Accuracy of choosing at random; ``None`` where there are no choices, or any word could be given.
        majority: Accuracy of always choosing the place that is most often right; ``None`` likewise.
        filters: How many items the task itself left out, whatever the model, by reason.
    """

    task: str
    items: int
    chance: float | None
    majority: float | None
    filters: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class CellSummary:
    """One variant on one task; what compares is ``None`` without the baseline's outcomes.

    Intervals are at 95%.

    Attributes:
        model: The model, as text.
        recipe: The recipe, as text.
        task: The task.
        items: Number of items.
        accuracy: Share of right answers, with the Wilson interval.
        drop: Accuracy of the baseline minus that of the variant, on the same items.
        p_value: Exact McNemar test of no change.
        p_holm: The same, corrected by Holm for all comparisons of the run.
        retained: Share of what the baseline knew that is still known; ``None`` when it knew nothing.
        forgotten: Items right under the baseline and wrong now.
        gained: Items wrong under the baseline and right now.
        flips: Share of items whose correctness changed.
        prediction_flips: Share of items whose prediction changed.
        metrics: The task's aggregated metrics by name.
        seconds: Time that the cell took, where it was noted.
        dropped: How many items the model could not be asked, by reason; they are not among ``items``.
    """

    model: str
    recipe: str
    task: str
    items: int
    accuracy: float
    accuracy_low: float
    accuracy_high: float
    drop: float | None = None
    drop_low: float | None = None
    drop_high: float | None = None
    p_value: float | None = None
    p_holm: float | None = None
    retained: float | None = None
    retained_low: float | None = None
    retained_high: float | None = None
    forgotten: int | None = None
    gained: int | None = None
    flips: float | None = None
    prediction_flips: float | None = None
    metrics: Mapping[str, float] = field(default_factory=dict)
    seconds: float | None = None
    dropped: Mapping[str, int] = field(default_factory=dict)

    @property
    def is_significant(self) -> bool:
        """Whether correctness changed beyond chance at 5%, after the correction."""
        return self.p_holm is not None and self.p_holm < SIGNIFICANT


@dataclass(frozen=True)
class Summary:
    """A run in numbers, in the study's order.

    Attributes:
        study: ``study.json``.
        variants: Every variant of the study.
        tasks: Every task with stored items or outcomes.
        cells: Those that are done.
        failures: Cells that failed.
        missing: Model, recipe and task of the cells that are neither done nor failed.
        measured: The cells that are done of tasks without right answers, which are not among ``cells``.
    """

    study: Mapping[str, Any]
    variants: tuple[VariantSummary, ...]
    tasks: tuple[TaskSummary, ...]
    cells: tuple[CellSummary, ...]
    failures: tuple[Failure, ...]
    missing: tuple[tuple[str, str, str], ...]
    measured: tuple[MeasuredSummary, ...] = ()


def summarise(run: Run) -> Summary:
    """Compare every cell of a run with its model's baseline on the same items."""
    cells, measured = _corrected(list(_cells(run))), measured_cells(run)
    failures = tuple(Failure(**_row(row)) for row in run.failures.to_dict("records"))
    names = list(dict.fromkeys([*run.study["identity"].get("tasks", ()), *(cell.task for cell in cells)]))
    seen = {(cell.model, cell.recipe, cell.task) for cell in cells}
    seen |= {(cell.model, cell.recipe, cell.task) for cell in measured}
    seen |= {(failure.model, failure.recipe, failure.task) for failure in failures}
    planned = product(zip(run.variants["model"], run.variants["recipe"], strict=True), names)
    return Summary(
        study=run.study,
        variants=tuple(_variant(_row(row)) for row in run.variants.to_dict("records")),
        tasks=_tasks(names, task_baselines(run.item_shapes), run.tasks, cells),
        cells=tuple(cells),
        failures=failures,
        missing=tuple((*variant, task) for variant, task in planned if (*variant, task) not in seen),
        measured=measured,
    )


def _cells(run: Run) -> Iterator[CellSummary]:
    outcomes = run.read_outcomes(["item_id", "correct", "prediction"])
    groups = dict(iter(outcomes.groupby(["variant", "task"], sort=False)))
    baselines = {
        (str(row["model"]), str(row["task"])): groups[row["variant"], row["task"]]
        for row in run.cells.to_dict("records")
        if row["recipe"] == BASELINE and (row["variant"], row["task"]) in groups
    }
    for row in map(_row, run.cells.to_dict("records")):
        group = groups.get((row["variant"], row["task"]))
        if group is None or not is_judged(row):
            continue
        baseline = None if row["recipe"] == BASELINE else baselines.get((row["model"], row["task"]))
        yield _cell(row, group, None if baseline is None else _paired(baseline, group))


def _cell(row: Mapping[str, Any], outcomes: pd.DataFrame, paired: Paired | None) -> CellSummary:
    reached = accuracy(outcomes["correct"])
    seconds = row.get("seconds")
    metrics = {name.removeprefix(METRIC): value for name, value in row.items() if name.startswith(METRIC)}
    cell = CellSummary(
        model=row["model"],
        recipe=row["recipe"],
        task=row["task"],
        items=len(outcomes),
        accuracy=reached.value,
        accuracy_low=reached.low,
        accuracy_high=reached.high,
        metrics={name: float(value) for name, value in metrics.items() if value is not None},
        seconds=None if seconds is None else float(seconds),
        dropped=_counts(row, DROPPED),
    )
    return cell if paired is None else _compared(cell, paired)


def _compared(cell: CellSummary, paired: Paired) -> CellSummary:
    retained = paired.retained
    return replace(
        cell,
        drop=paired.drop.value,
        drop_low=paired.drop.low,
        drop_high=paired.drop.high,
        p_value=paired.p_value,
        retained=None if retained is None else retained.value,
        retained_low=None if retained is None else retained.low,
        retained_high=None if retained is None else retained.high,
        forgotten=paired.forgotten,
        gained=paired.gained,
        flips=paired.flips,
        prediction_flips=paired.prediction_flips,
    )


def _paired(baseline: pd.DataFrame, variant: pd.DataFrame) -> Paired | None:
    """Return the comparison on the items that both answered; ``None`` where there are none."""
    if not np.array_equal(_texts(baseline["item_id"]), _texts(variant["item_id"])):
        # In one run both have the same items; a run put together by hand may not.
        answered = set(variant["item_id"])
        shared = [item for item in baseline["item_id"] if item in answered]
        if not shared:
            return None
        baseline, variant = (frame.set_index("item_id").loc[shared] for frame in (baseline, variant))
    return compare_paired(
        baseline["correct"].to_numpy(),
        variant["correct"].to_numpy(),
        predictions=(_texts(baseline["prediction"]), _texts(variant["prediction"])),
    )


def _texts(column: pd.Series[Any]) -> NDArray[np.object_]:
    # Going through a text column by iteration is many times slower.
    return np.asarray(column.to_numpy(dtype=object))


def _corrected(cells: list[CellSummary]) -> list[CellSummary]:
    p_values = [cell.p_value for cell in cells if cell.p_value is not None]
    if not p_values:
        return cells
    holm = iter(multipletests(p_values, alpha=SIGNIFICANT, method="holm")[1])
    return [cell if cell.p_value is None else replace(cell, p_holm=float(next(holm))) for cell in cells]


def _tasks(
    names: list[str], baselines: Mapping[str, TaskBaselines], stored: pd.DataFrame, cells: list[CellSummary]
) -> tuple[TaskSummary, ...]:
    answered = {cell.task: cell.items for cell in cells}
    filters = {str(row["task"]): _counts(_row(row), FILTERS) for row in stored.to_dict("records")}
    found = []
    for name in names:
        if name in baselines:
            known = baselines[name]
            found.append(TaskSummary(name, known.items, known.chance, known.majority, filters.get(name, {})))
        elif name in answered:
            found.append(TaskSummary(name, answered[name], None, None))
    return tuple(found)


def _variant(row: Mapping[str, Any]) -> VariantSummary:
    return VariantSummary(
        model=row["model"],
        recipe=row["recipe"],
        sparsity=row["sparsity"] or None,
        removed_weights=_whole(row["removed_weights"]),
        dense_bytes=_whole(row["dense_bytes"]),
        bitmask_bytes=_whole(row["bitmask_bytes"]),
        quantized_bytes=_whole(row["quantized_bytes"]),
        simulated=None if row["simulated"] is None else bool(row["simulated"]),
        variant=row["variant"],
    )


def _counts(row: Mapping[str, Any], prefix: str) -> dict[str, int]:
    """Return the numbers above zero in the columns that begin with a prefix, by the rest of their names."""
    return {name.removeprefix(prefix): int(value) for name, value in row.items() if name.startswith(prefix) and value}


def _whole(value: float | None) -> int | None:
    return None if value is None else int(value)


def _row(row: Mapping[Any, Any]) -> dict[str, Any]:
    """Return a data frame's row with ``None`` where a value is missing."""
    return {
        str(name): None if pd.api.types.is_scalar(value) and pd.isna(value) else value for name, value in row.items()
    }

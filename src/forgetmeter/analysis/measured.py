"""Cells of tasks without right answers: what was measured, and how it compares with the baseline's."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from forgetmeter.analysis.frames import Run
from forgetmeter.analysis.judged import is_judged
from forgetmeter.analysis.left_out import left_out
from forgetmeter.specs.recipe import BASELINE
from forgetmeter.store.outcomes_table import METRIC


@dataclass(frozen=True)
class MeasuredSummary:
    """One variant on one task in which nothing is right or wrong, such as ``perplexity``.

    Attributes:
        model: The model, as text.
        recipe: The recipe, as text.
        task: The task.
        items: Number of items.
        metrics: The task's metrics over all items, by name.
        ratios: The same divided by the baseline's; empty for the baseline and where it has none on the same items.
        seconds: Time that the cell took, where it was noted.
        dropped: How many items the model could not be asked, by reason, as in ``CellSummary``; so are the others.
    """

    model: str
    recipe: str
    task: str
    items: int
    metrics: Mapping[str, float]
    ratios: Mapping[str, float] = field(default_factory=dict)
    seconds: float | None = None
    dropped: Mapping[str, int] = field(default_factory=dict)
    named: Mapping[str, str] = field(default_factory=dict)
    cut: int = 0
    not_numbers: int = 0


def measured_cells(run: Run) -> tuple[MeasuredSummary, ...]:
    """Return the cells of tasks without right answers, in the study's order."""
    rows = [row for row in run.cells.to_dict("records") if not is_judged(row)]
    baselines = {(row["model"], row["task"]): row for row in rows if row["recipe"] == BASELINE}
    return tuple(_measured(row, baselines.get((row["model"], row["task"]))) for row in rows)


def _measured(row: Mapping[Any, Any], baseline: Mapping[Any, Any] | None) -> MeasuredSummary:
    metrics, ratios = _metrics(row), {}
    if baseline is not None and baseline is not row and baseline["rows"] == row["rows"]:
        before = _metrics(baseline)
        ratios = {name: value / before[name] for name, value in metrics.items() if before.get(name)}
    seconds = row.get("seconds")
    return MeasuredSummary(
        model=row["model"],
        recipe=row["recipe"],
        task=row["task"],
        items=int(row["rows"]),
        metrics=metrics,
        ratios=ratios,
        seconds=None if seconds is None or pd.isna(seconds) else float(seconds),
        **left_out(row),
    )


def _metrics(row: Mapping[Any, Any]) -> dict[str, float]:
    named = {str(name).removeprefix(METRIC): value for name, value in row.items() if str(name).startswith(METRIC)}
    return {name: float(value) for name, value in named.items() if value is not None and not pd.isna(value)}

"""Cells of tasks without right answers: their metrics, compared with the baseline's."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from forgetmeter.probes.registry import metrics_of
from forgetmeter.runs.run import Run
from forgetmeter.runs.stored import StoredCell
from forgetmeter.specs.recipe import BASELINE


@dataclass(frozen=True)
class MeasuredSummary:
    """One variant on one task without right answers, such as ``perplexity``.

    Attributes:
        items: Number of items.
        metrics: The task's metrics over all items, by name.
        ratios: Metrics divided by the baseline's; empty for the baseline, or if it has none on equally many items.
        seconds: Duration of scoring; ``None`` if not recorded.
        dropped: Number of items that the model could not be scored on, by reason; see ``CellSummary``, also below.
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


def perplexity_names(task: str, metrics: Iterable[str]) -> list[str]:
    """Return which of a task's metrics are perplexities; the first is the one that charts and findings use."""
    return [metric.name for metric in metrics_of(task, metrics) if metric.is_perplexity]


def measured_cells(run: Run) -> tuple[MeasuredSummary, ...]:
    """Return the cells of tasks without right answers, in the study's order."""
    cells = [cell for cell in run.cells if not cell.is_judged]
    baselines = {(cell.model, cell.task): cell for cell in cells if cell.recipe == BASELINE}
    return tuple(_measured(cell, baselines.get((cell.model, cell.task))) for cell in cells)


def _measured(cell: StoredCell, baseline: StoredCell | None) -> MeasuredSummary:
    metrics, ratios = cell.metrics, {}
    if baseline is not None and baseline is not cell and baseline.rows == cell.rows:
        before = baseline.metrics
        ratios = {name: value / before[name] for name, value in metrics.items() if before.get(name)}
    return MeasuredSummary(
        model=cell.model,
        recipe=cell.recipe,
        task=cell.task,
        items=cell.rows,
        metrics=metrics,
        ratios=ratios,
        seconds=cell.seconds,
        dropped=cell.dropped,
        named=cell.named,
        cut=cell.cut,
        not_numbers=cell.not_numbers,
    )

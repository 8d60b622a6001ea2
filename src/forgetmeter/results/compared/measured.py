"""Cells of tasks without right answers: their metrics, compared with the baseline's."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from forgetmeter.probes.declaration import Metric
from forgetmeter.probes.registry import metrics_of
from forgetmeter.runs.content.item_values import ItemValues
from forgetmeter.runs.run import Run
from forgetmeter.runs.stored import StoredCell
from forgetmeter.specs.recipe import BASELINE
from forgetmeter.statistics.item_intervals import mean_interval, quantile_interval
from forgetmeter.statistics.paired import CONFIDENCE, Estimate


@dataclass(frozen=True)
class MeasuredSummary:
    """One variant on one task without right answers, such as ``perplexity``.

    Attributes:
        items: Number of items.
        metrics: The task's metrics over all items, by name.
        intervals: Metrics with their 95% intervals over items, where the task declares how to compute them.
        ratios: Metrics divided by the baseline's; empty for the baseline, or if it has none on the same items.
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
    intervals: Mapping[str, Estimate] = field(default_factory=dict)


def perplexity_names(task: str, metrics: Iterable[str]) -> list[str]:
    """Return which of a task's metrics are perplexities; the first is the one that charts and findings use."""
    return [metric.name for metric in metrics_of(task, metrics) if metric.is_perplexity]


def measured_cells(run: Run, *, confidence: float = CONFIDENCE) -> tuple[MeasuredSummary, ...]:
    """Return the cells of tasks without right answers, in the study's order, with intervals at a confidence."""
    cells = [cell for cell in run.cells if not cell.is_judged]
    baselines = {(cell.model, cell.task): cell for cell in cells if cell.recipe == BASELINE}
    return tuple(_measured(run, cell, baselines.get((cell.model, cell.task)), confidence) for cell in cells)


def _measured(run: Run, cell: StoredCell, baseline: StoredCell | None, confidence: float) -> MeasuredSummary:
    metrics, ratios = cell.metrics, {}
    if baseline is not None and baseline is not cell and run.item_ids(baseline) == run.item_ids(cell):
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
        intervals=_intervals(run, cell, confidence),
    )


def _intervals(run: Run, cell: StoredCell, confidence: float) -> dict[str, Estimate]:
    metrics = [each for each in metrics_of(cell.task, cell.metrics) if each.weight or each.quantile is not None]
    if not metrics:
        return {}
    names = dict.fromkeys(name for each in metrics if each.weight for name in (each.name, each.weight))
    values = run.item_values(cell, names)
    found = {each.name: _interval(each, values, confidence) for each in metrics if each.name in cell.metrics}
    return {name: estimate for name, estimate in found.items() if estimate is not None}


def _interval(metric: Metric, values: ItemValues, confidence: float) -> Estimate | None:
    if metric.quantile is not None:
        return quantile_interval(values.token_values, values.items, metric.quantile, confidence=confidence)
    if not {metric.name, metric.weight} <= values.metrics.keys():
        return None
    return mean_interval(
        values.metrics[metric.name],
        values.metrics[metric.weight],
        is_share=metric.is_share,
        is_signed=metric.is_signed,
        confidence=confidence,
    )

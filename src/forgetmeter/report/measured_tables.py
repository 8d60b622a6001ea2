"""Tables of tasks without right answers."""

from __future__ import annotations

from collections.abc import Sequence

from forgetmeter.probes.declaration import Metric
from forgetmeter.probes.registry import counted_things, metrics_of
from forgetmeter.report.items_column import with_items
from forgetmeter.report.table import Table, TableRow, Term, failed_row
from forgetmeter.report.words.left_out_facts import left_out_facts, shown_cell
from forgetmeter.report.words.numbers import MISSING, percent, percent_interval
from forgetmeter.results.compared.measured import MeasuredSummary
from forgetmeter.results.summary import Summary

_RATIO = "× baseline"
_LARGE, _SMALL = 10_000, 0.1


def measured_tables(model: str, summary: Summary) -> list[Table]:
    """Return a table for each task without right answers that a model was evaluated on."""
    cells = [cell for cell in summary.measured if cell.model == model]
    return [_table(model, task, cells, summary) for task in _tasks(cells)]


def measured_terms(summary: Summary) -> list[Term]:
    """Return the terms that explain the columns of these tables, as the tasks declare them."""
    metrics = [metric for task in _tasks(summary.measured) for metric in _metrics(task, summary.measured)]
    columns = [column for metric in metrics for column in ((_heading(metric), metric.meaning), (_RATIO, metric.ratio))]
    return [Term(heading, meaning) for heading, meaning in dict.fromkeys(columns) if meaning]


def _tasks(cells: Sequence[MeasuredSummary]) -> list[str]:
    return list(dict.fromkeys(cell.task for cell in cells))


def _metrics(task: str, cells: Sequence[MeasuredSummary]) -> tuple[Metric, ...]:
    return metrics_of(task, [name for cell in cells if cell.task == task for name in cell.metrics])


def _heading(metric: Metric) -> str:
    return metric.heading or metric.name


def _table(model: str, task: str, cells: Sequence[MeasuredSummary], summary: Summary) -> Table:
    done = {cell.recipe: cell for cell in cells if cell.task == task}
    failed = {each.recipe: each for each in summary.failures if (each.model, each.task) == (model, task)}
    metrics = _metrics(task, cells)
    rows = []
    for variant in summary.variants:
        if variant.model == model and variant.recipe in done:
            rows.append(TableRow(variant.recipe, _values(metrics, done[variant.recipe])))
        elif variant.model == model and variant.recipe in failed:
            rows.append(failed_row(failed[variant.recipe]))
    facts = (counted_things(task, shown_cell(list(done.values())).items), *left_out_facts(list(done.values())))
    columns = tuple(name for metric in metrics for name in (_heading(metric), *([_RATIO] if metric.ratio else [])))
    return with_items(Table(model, task, facts, columns, tuple(rows)), done.values())


def _values(metrics: Sequence[Metric], cell: MeasuredSummary) -> tuple[str, ...]:
    return tuple(
        text
        for metric in metrics
        for text in (metric_value(metric, cell), *([metric_ratio(metric, cell)] if metric.ratio else []))
    )


def metric_value(metric: Metric, cell: MeasuredSummary) -> str:
    """Return a metric's value, with its interval if it is a mean; those of quantiles would make tables too wide."""
    estimate = cell.intervals.get(metric.name) if metric.weight else None
    if metric.is_share:
        return percent(cell.metrics.get(metric.name)) if estimate is None else percent_interval(estimate)
    value = _number(cell.metrics.get(metric.name))
    return value if estimate is None else f"{value} [{_number(estimate.low)}, {_number(estimate.high)}]"


def metric_ratio(metric: Metric, cell: MeasuredSummary) -> str:
    """Return a metric's ratio to the baseline's value."""
    return _number(cell.ratios.get(metric.name))


def _number(value: float | None) -> str:
    if value is None:
        return MISSING
    return f"{value:.3f}" if value == 0 or _SMALL <= abs(value) < _LARGE else f"{value:.3g}"

"""The cells of a summary as flat rows, with the facts of their variant."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from forgetmeter.results.compared.cell_summary import CellSummary
from forgetmeter.results.compared.measured import MeasuredSummary
from forgetmeter.results.frames import CELL_COLUMNS, flat_cell, interval_columns
from forgetmeter.results.summary import Summary, VariantSummary

_KEYS = ("model", "recipe", "task")
_CELL = tuple(name for name in CELL_COLUMNS if name not in _KEYS)
_JUDGED = ("verdict", "holds_elsewhere")
_VARIANT = tuple(field.name for field in fields(VariantSummary) if field.name not in _KEYS)


def flat_columns(summary: Summary) -> list[str]:
    """Return the column names, in order."""
    metrics = {name for cell in summary.cells for name in cell.metrics}
    metrics |= {name for cell in summary.measured for name in _metrics(cell)}
    counts = dict.fromkeys(name for cell in summary.all_cells for name in _counts(cell, _filters(summary, cell.task)))
    return [
        *_KEYS,
        *_CELL,
        *_JUDGED,
        *(f"metric.{name}" for name in sorted(metrics)),
        *counts,
        *_VARIANT,
        "error",
    ]


def flat_rows(summary: Summary) -> list[dict[str, Any]]:
    """Return one row per cell, in the study's order; a failed cell has its error instead of outcomes."""
    variants = {(each.model, each.recipe): each for each in summary.variants}
    done = {(each.model, each.recipe, each.task): each for each in summary.cells}
    measured = {(each.model, each.recipe, each.task): each for each in summary.measured}
    failed = {(each.model, each.recipe, each.task): each for each in summary.failures}
    tasks = [each.task for each in summary.tasks]
    names = dict.fromkeys([*tasks, *(each.task for each in summary.failures)])
    rows = []
    for model, recipe in variants:
        for task in names:
            key = (model, recipe, task)
            if key not in done and key not in failed and key not in measured:
                continue
            row: dict[str, Any] = dict(zip(_KEYS, key, strict=True))
            row |= _named(variants[model, recipe], _VARIANT)
            if key in done:
                row |= flat_cell(done[key]) | _named(done[key], _JUDGED)
                row |= {f"metric.{name}": value for name, value in done[key].metrics.items()}
                row |= _counts(done[key], _filters(summary, task))
            elif key in measured:
                row |= {name: getattr(measured[key], name) for name in ("items", "seconds", "cut", "not_numbers")}
                row |= {f"metric.{name}": value for name, value in _metrics(measured[key]).items()}
                row |= _counts(measured[key], _filters(summary, task))
            else:
                row["error"] = failed[key].error
            rows.append(row)
    return rows


def _named(record: CellSummary | VariantSummary, names: tuple[str, ...]) -> dict[str, Any]:
    return {name: getattr(record, name) for name in names}


def _metrics(cell: MeasuredSummary) -> dict[str, float]:
    """Return the metrics of a cell, with the limits of their intervals."""
    limits = (
        (name, limit)
        for metric, estimate in cell.intervals.items()
        for name, limit in zip(interval_columns(metric)[1:], (estimate.low, estimate.high), strict=True)
    )
    return {**cell.metrics, **dict(limits)}


def _filters(summary: Summary, task: str) -> Mapping[str, int]:
    return next((each.filters for each in summary.tasks if each.task == task), {})


def _counts(cell: CellSummary | MeasuredSummary, filters: Mapping[str, int]) -> dict[str, int]:
    """Return the numbers of items that are missing from a cell: dropped by the model, or filtered by the task."""
    dropped = {f"dropped.{reason}": number for reason, number in cell.dropped.items()}
    return dropped | {f"filters.{reason}": number for reason, number in filters.items()}

"""The cells of a summary as flat rows, with everything known of their variant and task."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

from forgetmeter.analysis.summary import CellSummary, Summary, TaskSummary, VariantSummary
from forgetmeter.store.outcomes_table import METRIC

_KEYS = ("model", "recipe", "task")
_CELL = tuple(field.name for field in fields(CellSummary) if field.name not in (*_KEYS, "metrics"))
_TASK = ("chance", "majority")
_VARIANT = tuple(field.name for field in fields(VariantSummary) if field.name not in _KEYS)


def flat_columns(summary: Summary) -> list[str]:
    """Return the names of the columns, in order."""
    metrics = dict.fromkeys(name for cell in summary.cells for name in cell.metrics)
    return [*_KEYS, *_CELL, *(f"{METRIC}{name}" for name in sorted(metrics)), *_TASK, *_VARIANT, "error"]


def flat_rows(summary: Summary) -> list[dict[str, Any]]:
    """Return one row a cell, in the study's order; that of a failed cell has its error and no outcome."""
    variants = {(each.model, each.recipe): each for each in summary.variants}
    tasks = {each.task: each for each in summary.tasks}
    done = {(each.model, each.recipe, each.task): each for each in summary.cells}
    failed = {(each.model, each.recipe, each.task): each for each in summary.failures}
    names = dict.fromkeys([*tasks, *(each.task for each in summary.failures)])
    rows = []
    for model, recipe in variants:
        for task in names:
            key = (model, recipe, task)
            if key not in done and key not in failed:
                continue
            row: dict[str, Any] = dict(zip(_KEYS, key, strict=True))
            row |= _named(tasks.get(task), _TASK) | _named(variants[model, recipe], _VARIANT)
            if key in done:
                row |= _named(done[key], _CELL)
                row |= {f"{METRIC}{name}": value for name, value in done[key].metrics.items()}
            else:
                row["error"] = failed[key].error
            rows.append(row)
    return rows


def _named(record: CellSummary | TaskSummary | VariantSummary | None, names: tuple[str, ...]) -> dict[str, Any]:
    return {} if record is None else {name: getattr(record, name) for name in names}

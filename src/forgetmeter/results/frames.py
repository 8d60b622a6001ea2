"""Results of a run as tidy data frames: one row per cell, curve point, result, item or frontier point."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, fields
from typing import Any

import pandas as pd

from forgetmeter.results.compared.cell_summary import CellSummary
from forgetmeter.results.findings.finding import Finding, ModelResult, TaskResult
from forgetmeter.results.frontier import MEASURES, Frontier
from forgetmeter.results.ledger import Ledger, LedgerEntry
from forgetmeter.results.retained_curve import RetainedCurve
from forgetmeter.results.summary import Summary
from forgetmeter.runs.tables.frames import frame
from forgetmeter.statistics.paired import Estimate


def interval_columns(name: str) -> tuple[str, str, str]:
    """Return the columns of an estimate: its value and the limits of its interval."""
    return name, f"{name}_low", f"{name}_high"


_ESTIMATES = tuple(field.name for field in fields(CellSummary) if Estimate.__name__ in str(field.type))
NOT_FLAT = ("metrics", "dropped", "named")
CELL_COLUMNS = tuple(
    name
    for field in fields(CellSummary)
    if field.name not in NOT_FLAT
    for name in (interval_columns(field.name) if field.name in _ESTIMATES else (field.name,))
)
_ENTRY = tuple(field.name for field in fields(LedgerEntry))


def flat_cell(cell: CellSummary) -> dict[str, Any]:
    """Return the numbers of a cell by ``CELL_COLUMNS``."""
    flat: dict[str, Any] = {}
    for field in fields(cell):
        value = getattr(cell, field.name)
        if field.name in _ESTIMATES:
            flat |= _values(field.name, value)
        elif field.name not in NOT_FLAT:
            flat[field.name] = value
    return flat


def comparisons_frame(summary: Summary) -> pd.DataFrame:
    """Return one row per cell: the attributes of ``CellSummary``, ``verdict``, ``holds_elsewhere``, metrics."""
    metrics = dict.fromkeys(f"metric.{name}" for cell in summary.cells for name in cell.metrics)
    rows = [
        {
            **flat_cell(cell),
            **{name: getattr(cell, name) for name in ("verdict", "holds_elsewhere")},
            **{f"metric.{name}": value for name, value in cell.metrics.items()},
        }
        for cell in summary.cells
    ]
    return frame(rows, [*CELL_COLUMNS, "verdict", "holds_elsewhere", *metrics])


def curves_frame(curves: Iterable[RetainedCurve]) -> pd.DataFrame:
    """Return one row per point of a curve, each with the area and knee of the whole curve."""
    columns = [
        *("model", "task", "method", "scope", "recipe", "level", "removed_weights"),
        *interval_columns("retained"),
        *interval_columns("area"),
        *("knee_low", "knee_high", "knee_interval_low", "knee_interval_high", "knee_share"),
    ]
    rows = []
    for curve in curves:
        knee = {} if curve.knee is None else {f"knee_{name}": value for name, value in asdict(curve.knee).items()}
        about = {name: getattr(curve, name) for name in ("model", "task", "method", "scope")}
        for point in curve.points:
            own = {name: getattr(point, name) for name in ("recipe", "level", "removed_weights")}
            rows.append(
                {
                    **about,
                    **own,
                    **_values("retained", point.retained),
                    **_values("area", curve.area),
                    **knee,
                }
            )
    return frame(rows, columns)


def findings_frame(findings: Iterable[Finding]) -> pd.DataFrame:
    """Return one row per claim, model and task, and one per claim and model, whose ``task`` is missing."""
    columns = ["finding", "claim", "model", "task", "verdict", *interval_columns("effect"), "threshold", "unit"]
    columns += ["p_value", "p_holm", "detail", "missing"]
    rows = []
    for finding in findings:
        for result in finding.results:
            own = {"verdict": result.verdict, "p_holm": result.p_holm}
            rows.append({**_result_row(finding, result.model, result), **own})
            for task in result.tasks:
                rows.append({**_result_row(finding, result.model, task), "task": task.task, "detail": task.detail})
    return frame(rows, columns)


def ledger_frame(ledgers: Iterable[Ledger]) -> pd.DataFrame:
    """Return one row per ledger item: ``model``, ``recipe``, ``task``, then the attributes of ``LedgerEntry``."""
    keys = ("model", "recipe", "task")
    rows = [
        {**{name: getattr(ledger, name) for name in keys}, **{name: getattr(entry, name) for name in _ENTRY}}
        for ledger in ledgers
        for entry in ledger.entries
    ]
    return frame(rows, [*keys, *_ENTRY])


def frontier_frame(frontiers: Iterable[Frontier]) -> pd.DataFrame:
    """Return one row per variant and task: its costs, its retained share, and the costs by which no other beats it."""
    rows = [
        {
            "model": frontier.model,
            "task": frontier.task,
            "recipe": point.recipe,
            "items": point.items,
            **_values("retained", point.retained),
            **{measure: point.costs.get(measure) for measure in MEASURES},
            "simulated": point.simulated,
            **{f"pareto.{measure}": measure in point.pareto for measure in MEASURES},
        }
        for frontier in frontiers
        for point in frontier.points
    ]
    columns = ["model", "task", "recipe", "items", *interval_columns("retained"), *MEASURES, "simulated"]
    return frame(rows, [*columns, *(f"pareto.{measure}" for measure in MEASURES)])


def _result_row(finding: Finding, model: str, result: ModelResult | TaskResult) -> dict[str, Any]:
    return {
        "finding": finding.name,
        "claim": finding.claim.sentence,
        "model": model,
        **_values("effect", result.effect),
        "threshold": finding.claim.threshold,
        "unit": finding.claim.unit,
        "p_value": result.p_value,
        "missing": result.missing,
    }


def _values(name: str, estimate: Estimate | None) -> Mapping[str, float | None]:
    values = (None, None, None) if estimate is None else (estimate.value, estimate.low, estimate.high)
    return dict(zip(interval_columns(name), values, strict=True))

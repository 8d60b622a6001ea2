"""A summary as a JSON document."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from forgetmeter.basics.json_text import to_json
from forgetmeter.results.compared.cell_summary import CellSummary
from forgetmeter.results.frames import NOT_FLAT, flat_cell
from forgetmeter.results.summary import Summary


def show_json(summary: Summary) -> str:
    """Return the whole summary, with the averages of groups of tasks; shares are from 0 to 1."""
    document = {
        "study": summary.study.document,
        "variants": [asdict(variant) for variant in summary.variants],
        "tasks": [asdict(task) for task in summary.tasks],
        "cells": [_cell(cell) for cell in summary.cells],
        "groups": [asdict(average) for average in summary.groups],
        "measured": [asdict(cell) for cell in summary.measured],
        "failures": [asdict(failure) for failure in summary.failures],
        "missing": [dict(zip(("model", "recipe", "task"), cell, strict=True)) for cell in summary.missing],
    }
    return to_json(document).decode()


def _cell(cell: CellSummary) -> dict[str, Any]:
    others = {name: getattr(cell, name) for name in (*NOT_FLAT, "is_significant", "verdict", "holds_elsewhere")}
    return {**flat_cell(cell), **others}

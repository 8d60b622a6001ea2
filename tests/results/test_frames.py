"""A run's results as data frames."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from pathlib import Path

import pandas as pd
import pytest
from made_up_run import MadeUpTask, write_made_up_run

from forgetmeter.results.compared.cell_summary import CellSummary
from forgetmeter.results.findings.all_findings import FINDINGS
from forgetmeter.results.ledger import LedgerEntry
from forgetmeter.results.results import open_run
from forgetmeter.runs.run import Run

RECIPES = [f"l1_unstructured:{scope}:{level}" for scope in ("attention", "overall") for level in (0.3, 0.6)]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    location = write_made_up_run(
        str(tmp_path / "run"),
        recipes=RECIPES,
        right=lambda task, recipe, random: random.random(task.items) < (0.8 if recipe == "baseline" else 0.6),
        tasks=[MadeUpTask("facts", 120, relations=6), MadeUpTask("piqa", 60)],
    )
    return open_run(location)


def test_results_have_a_short_text(run: Run) -> None:
    assert repr(run) == f"<Results of '{run.run.location}': 5 variants, 2 tasks, 10 finished cells>"


def test_one_row_per_cell(run: Run) -> None:
    frame = run.comparisons
    assert len(frame) == 2 * (len(RECIPES) + 1)
    names = {field.name for field in fields(CellSummary)} - {"metrics", "dropped", "named"}
    names |= {f"{name}_{end}" for name in ("accuracy", "drop", "retained", "gained_share") for end in ("low", "high")}
    assert set(frame.columns) == names | {"verdict", "holds_elsewhere", "metric.accuracy"}
    assert frame["relations"].dropna().unique().tolist() == [6]
    assert (frame["metric.accuracy"] == frame["accuracy"]).all()


def test_one_row_per_point(run: Run) -> None:
    frame = run.curves
    assert len(frame) == 2 * 4
    assert frame.groupby(["task", "scope"])["area"].nunique().tolist() == [1] * 4
    assert (frame["retained_low"] <= frame["retained"]).all()


def test_one_row_per_claim_and_task(run: Run) -> None:
    frame = run.findings
    assert len(frame) == len(FINDINGS) * (1 + 2)
    whole = frame[frame["task"].isna()]
    assert whole["verdict"].notna().all()
    assert frame[frame["task"].notna()]["verdict"].isna().all()


def test_one_row_per_item(run: Run) -> None:
    frame = run.forgotten(RECIPES[0])
    assert len(frame) == 180
    assert list(frame.columns) == ["model", "recipe", "task", *(field.name for field in fields(LedgerEntry))]
    assert len(run.forgotten(RECIPES[0], task="piqa")) == 60


def test_nearly_empty_runs_have_the_same_columns(run: Run, write_run: Callable[..., str], tmp_path: Path) -> None:
    pruned = "l1_unstructured:overall:0.5"
    written = {
        "nothing": {},
        "no baseline": {(pruned, "piqa"): [True]},
        "one item": {("baseline", "piqa"): [True], (pruned, "piqa"): [False]},
    }
    bare = {name: open_run(write_run(right, location=str(tmp_path / name))) for name, right in written.items()}
    for small in bare.values():
        for name in ("comparisons", "curves", "findings", "frontier"):
            frame, whole = getattr(small, name), getattr(run, name)
            assert isinstance(frame, pd.DataFrame)
            columns = [column for column in whole.columns if not column.startswith("metric.")]
            assert [column for column in frame.columns if not column.startswith("metric.")] == columns
    assert bare["one item"].curves["knee_low"].isna().all()

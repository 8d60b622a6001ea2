"""Items left out by a task or a model, from the store to the summary.

Covers ``runs.content.item_shapes``.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from forgetmeter.records.cell import Cell, Variant
from forgetmeter.records.item import Cloze, Item, TaskDescription
from forgetmeter.records.outcome import Outcome
from forgetmeter.results.results import open_run
from forgetmeter.runs.run_store import RunStore
from forgetmeter.specs.model_reference import parse_model_reference
from forgetmeter.specs.recipe import parse_recipe

MODEL = "org/tiny"


@pytest.fixture
def run(tmp_path: Path) -> str:
    location = str(tmp_path / "run")
    store = RunStore(location)
    store.open_study(
        {"identity": {"models": [MODEL], "recipes": ["baseline"], "tasks": ["lama/trex", "bear"], "evaluation": {}}}
    )
    for task, among in (("lama/trex", "vocabulary"), ("bear", "candidates")):
        items = [
            Item(f"{task}/{at}", str(at), Cloze("It is ", ".", among), ("Oz", "Ur", "Id", "Ix"), (0,))  # type: ignore[arg-type]
            for at in range(4)
        ]
        filters = {"repeated fact": 3, "incomplete fact": 0} if task == "lama/trex" else {}
        store.write_items(TaskDescription(task, "1", "made up", "p_at_1", 7, filters), items)
        cell = Cell(Variant("id", parse_model_reference(MODEL), parse_recipe("baseline")), task)
        dropped = {"dropped": {"answer not one token": 2}} if task == "lama/trex" else {}
        outcomes = [Outcome(item.id, True, "Oz", "Oz", 1, 1.0, ()) for item in items[:2]]
        store.write_outcomes(cell, outcomes, {"metrics": {"p_at_1": 1.0}, **dropped})
    return location


def test_frames_have_a_column_per_reason(run: str) -> None:
    frames = open_run(run)
    assert frames.cells.set_index("task")["dropped.answer not one token"]["lama/trex"] == 2
    assert frames.tasks.set_index("task")["filters.repeated fact"]["lama/trex"] == 3


def test_items_keep_their_cloze(run: str) -> None:
    items = open_run(run).items
    assert items[["before", "after", "among"]].iloc[0].tolist() == ["It is ", ".", "vocabulary"]


def test_the_summary_counts_them_and_has_no_chance_level_for_open_clozes(run: str) -> None:
    summary = open_run(run).summary
    trex, bear = summary.tasks
    assert (trex.filters, bear.filters) == ({"repeated fact": 3}, {})
    assert [(cell.chance, cell.majority_accuracy) for cell in summary.cells] == [(None, None), (0.25, 1.0)]
    assert [cell.dropped for cell in summary.cells] == [{"answer not one token": 2}, {}]
    assert [cell.items for cell in summary.cells] == [2, 2]


def test_shapes_match_the_items(run: str) -> None:
    frames = open_run(run)
    shapes, items = frames.run.item_shapes, frames.items
    assert list(shapes["task"]) == list(items["task"])
    assert list(shapes["choices"]) == [len(texts) for texts in items["choices"]]
    assert [list(gold) for gold in shapes["gold"]] == [list(gold) for gold in items["gold"]]
    assert list(shapes["among"]) == list(items["among"])

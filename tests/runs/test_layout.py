"""Paths of a run's files, from task names and variant ids."""

from __future__ import annotations

from pathlib import Path

import pytest

from forgetmeter.errors import UserError
from forgetmeter.records.cell import Cell
from forgetmeter.records.item import Item, TaskDescription
from forgetmeter.records.outcome import Outcome
from forgetmeter.runs import layout
from forgetmeter.runs.run_store import RunStore

LONG = "lama/trex:relations=" + "+".join(f"P{number}" for number in range(100, 180))


def test_a_tasks_name_is_its_path() -> None:
    name = "lama/trex:relations=P19+P36:source=evidence"
    assert layout.items_path(name) == f"items/{name}.parquet"
    assert layout.outcomes_path("id", name) == f"variants/id/{name}.parquet"
    assert layout.outcomes_cell(layout.outcomes_path("id", name)) == ("id", name)


def test_a_path_in_an_option_makes_no_folders() -> None:
    path = layout.outcomes_path("id", "perplexity:file=../../a/b.txt:window=8")
    assert path == "variants/id/perplexity:file=..%2F..%2Fa%2Fb.txt:window=8.parquet"
    assert layout.outcomes_path(*layout.outcomes_cell(path) or ("", "")) == path


@pytest.mark.parametrize("path", [layout.items_path, lambda task: layout.failure_path("id", task)])
def test_long_names_are_shortened_and_stay_distinct(path) -> None:
    paths = [path(name) for name in (LONG, LONG + "+P9", "é" * 300)]
    assert len(set(paths)) == 3
    assert all(len(part.encode()) <= 255 for each in paths for part in each.split("/"))
    assert paths[0].startswith(path("lama/trex:relations=P100").split(".")[0])
    # Existing files are found by their shortened name.
    assert layout.items_path(layout.items_task(layout.items_path(LONG)) or "") == layout.items_path(LONG)


def test_no_file_is_taken_for_an_unfinished_one(tmp_path: Path) -> None:
    store = RunStore(str(tmp_path))
    store.folder.write(layout.items_path(".tmp-mine/.tmp-b"), b"content")
    assert store.folder.list(layout.ITEMS) == ["items/%2Etmp-mine/%2Etmp-b.parquet"]
    assert layout.items_path(".tmp") == "items/.tmp.parquet"
    with pytest.raises(UserError, match="would be stored in the same file"):
        layout.check_names([".tmp-a", "%2Etmp-a"])


def test_invalid_file_names_are_refused() -> None:
    with pytest.raises(UserError, match="cannot be stored"):
        layout.items_path("a/../b")


def test_tasks_that_would_share_a_file_are_refused() -> None:
    layout.check_names(["file:a/b", "file:a%2Fb/c", "file:a/b"])
    with pytest.raises(UserError, match="tasks 'file:a/b' and 'file:a%2Fb' would be stored in the same file"):
        layout.check_names(["file:a/b", "piqa", "file:a%2Fb"])


def test_a_run_of_a_task_with_a_long_name(
    tmp_path, study: dict, cell: Cell, items: list[Item], outcomes: list[Outcome]
) -> None:
    store = RunStore(str(tmp_path / "run"))
    store.open_study(study)
    long_cell = Cell(cell.variant, LONG)
    store.write_items(TaskDescription(LONG, "1", "made up", "acc", 3), items)
    store.write_failure(long_cell, "out of luck", "")
    assert [failure.task for failure in store.failures()] == [LONG]
    store.write_outcomes(long_cell, outcomes, {})
    assert store.is_done(long_cell)
    assert store.failures() == []
    assert [stored.task for stored in store.items()] == [LONG]
    assert [stored.task for stored in store.cells()] == [LONG]

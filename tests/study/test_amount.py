"""The estimate of a study's amount, against what its cells then read."""

from __future__ import annotations

from pathlib import Path

import pytest
from made_up_task import MadeUpTask, plug_in

from forgetmeter.executors.executor import Progress
from forgetmeter.records.cell import Cell
from forgetmeter.records.item import Problem
from forgetmeter.results.results import open_run
from forgetmeter.study.running import check_study, check_tasks, reader, run


class Amount(Progress):
    def __init__(self) -> None:
        self.tokens: dict[Cell, int] = {}

    def amount(self, tokens: dict[Cell, int]) -> None:
        self.tokens = tokens


@pytest.mark.parametrize("family", ["encoder", "encoder-decoder", "decoder"])
def test_the_estimate_is_near_what_is_read(family: str, tmp_path: Path) -> None:
    study = {
        "models": [f"standard:{family}"],
        "recipes": ["l1_unstructured:overall:0.5"],
        "tasks": ["facts:templates=0", "facts"],
        "evaluation.limit": 20,
        "output": str(tmp_path / "run"),
    }
    planned, ran = Amount(), Amount()
    check_tasks(check_study(reader(study)), planned)
    run(study, progress=ran)
    assert planned.tokens == ran.tokens
    read = {(cell.recipe, cell.task): cell.tokens for cell in open_run(study["output"]).run.cells}
    found = {(str(cell.variant.recipe), cell.task): tokens for cell, tokens in ran.tokens.items()}
    assert found == pytest.approx(read, rel=0.3)


def test_texts_that_share_no_rows_take_more(llama_folder: Path, tmp_path: Path) -> None:
    """Of a variant that rounds activations, choices do not share their prompt."""
    study = {
        "models": [str(llama_folder)],
        "recipes": ["cast:overall", "dynamic_int8:overall"],
        "tasks": ["facts:templates=0"],
        "evaluation.limit": 1,
        "output": str(tmp_path / "run"),
    }
    ran = Amount()
    run(study, progress=ran)
    read = {cell.recipe: cell.tokens for cell in open_run(study["output"]).run.cells}
    found = {str(cell.variant.recipe): tokens for cell, tokens in ran.tokens.items()}
    assert found == pytest.approx(read, rel=0.3)
    assert read["dynamic_int8:overall"] > 2 * read["cast:overall"]


def test_a_task_that_cannot_be_asked_has_no_estimate(
    llama_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Unaskable(MadeUpTask):
        def __init__(self, limit: int | None = None) -> None:
            super().__init__(limit)
            self.items = [item.__class__(**{**vars(item), "asks": Problem("no")}) for item in self.items]

    plug_in(monkeypatch, {"made_up": Unaskable})
    study = {
        "models": [str(llama_folder)],
        "recipes": ["baseline"],
        "tasks": ["made_up"],
        "output": str(tmp_path / "r"),
    }
    planned = Amount()
    check_tasks(check_study(reader(study)), planned)
    assert planned.tokens == {}

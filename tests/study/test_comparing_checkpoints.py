"""``forgetmeter.compare``: the run of ``forgetmeter compare``, from Python.

Covers ``study.comparing``.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from made_up_task import MadeUpTask, plug_in

import forgetmeter
from forgetmeter.checkpoints.compressing import compress_checkpoint
from forgetmeter.errors import UserError
from forgetmeter.study.running import run


@pytest.fixture(autouse=True)
def _tasks(monkeypatch: pytest.MonkeyPatch) -> None:
    plug_in(monkeypatch, {"made_up": MadeUpTask})


def test_it_gives_the_results_of_the_study(llama_folder: Path, tmp_path: Path) -> None:
    compress_checkpoint(llama_folder, "l1_unstructured:overall:0.5", pruned := tmp_path / "pruned")
    results = forgetmeter.compare(llama_folder, pruned, "made_up", output=tmp_path / "run", limit=5)
    study = {"models": [str(llama_folder)], "candidates": [str(pruned)], "tasks": ["made_up"]}
    run({**study, "output": str(tmp_path / "other"), "evaluation.limit": 5})
    found, expected = (
        each.comparisons[["recipe", "task", "accuracy", "drop", "retained", "forgotten"]]
        for each in (results, forgetmeter.open_run(tmp_path / "other"))
    )
    assert found.equals(expected)
    assert len(found) == 2


def test_candidates_are_added_to_a_run(llama_folder: Path, tmp_path: Path) -> None:
    folders = []
    for level in (0.2, 0.5):
        folders.append(tmp_path / str(level))
        compress_checkpoint(llama_folder, f"l1_unstructured:overall:{level}", folders[-1])
        results = forgetmeter.compare(str(llama_folder), folders, ["made_up"], output=str(tmp_path / "run"))
    assert len(results.variants) == 3


def test_a_wrong_request_is_refused(llama_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="candidates: '5' is not a valid candidate"):
        forgetmeter.compare(llama_folder, 5, "made_up", output=tmp_path / "run")  # type: ignore[arg-type]
    with pytest.raises(UserError, match="unknown key 'limt'.*did you mean 'limit'"):
        forgetmeter.compare(llama_folder, llama_folder, "made_up", output=tmp_path / "run", limt=5)

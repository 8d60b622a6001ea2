"""Cells in several processes: the same answers, and nothing lost when a process dies.

Covers ``executors.worker_process``.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Mapping
from multiprocessing import active_children, get_context
from pathlib import Path
from typing import Any

import pytest
from made_up_task import MadeUpTask, plug_in
from quick_commands import forgetmeter
from stored_tables import stored

from forgetmeter.errors import UserError
from forgetmeter.executors.executor import Progress
from forgetmeter.executors.local import LocalExecutor
from forgetmeter.executors.registry import executor_named
from forgetmeter.executors.workers import WorkersExecutor
from forgetmeter.records.cell import Cell
from forgetmeter.results.results import open_run
from forgetmeter.study.running import run


@pytest.fixture(autouse=True)
def _quick_start(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Start processes from one that has imported the libraries, except where a test is about new ones."""
    if "in_new_processes" not in request.node.name:
        context = get_context("forkserver")
        context.set_forkserver_preload(["forgetmeter.executors.workers"])
        monkeypatch.setattr("forgetmeter.executors.workers.START", context)


def test_the_answers_are_those_of_one_process(study: dict[str, Any], tmp_path: Path) -> None:
    alone = study | {"output": str(tmp_path / "alone")}
    assert run(alone).computed == 15
    finished = run(study, workers=2)
    assert (finished.computed, finished.failures) == (15, ())
    assert active_children() == []
    assert stored(study["output"]) == stored(alone["output"])
    assert len(list(Path(study["output"]).glob("variants/*/*noise*"))) == 3
    assert run(study, workers=2).computed == 0


def test_in_new_processes_nothing_but_progress_is_written(llama_folder: Path, tmp_path: Path) -> None:
    request = ["run", "--model", str(llama_folder), "--tasks", "facts:templates=0", "--limit", "1"]
    request += ["--recipes", "round_to_nearest:overall:4", "--out", str(tmp_path / "run"), "--workers", "2"]
    done = forgetmeter(*request)
    assert done.stdout.splitlines()[0] == f"2 of 2 cells done: {tmp_path / 'run'}"
    ours = ("reading ", "about ", "starting 2 workers", "loading ", "compressing ", "baseline on ", "round_to_nearest")
    assert [line for line in done.stderr.splitlines() if not line.startswith(ours)] == []


def test_variants_wait_for_a_baseline_that_decides_when_they_stop(study: dict[str, Any], tmp_path: Path) -> None:
    study |= {"tasks": study["tasks"][1:2], "evaluation.limit": 400, "evaluation.precision": 0.2}
    alone = study | {"output": str(tmp_path / "alone")}
    run(alone)
    run(study, workers=3)
    items = {cell.recipe: cell.items for cell in open_run(study["output"]).summary.cells}
    assert min(items.values()) < items["baseline"]
    assert items == {cell.recipe: cell.items for cell in open_run(alone["output"]).summary.cells}


class Killing(Progress):
    """Kills a process when it has started a cell other than the baseline's."""

    def __init__(self) -> None:
        self.failed: list[str] = []
        self.killed: int | None = None

    def cell_started(self, cell: Cell, *, items: int) -> None:
        if self.killed is None:
            self.killed = active_children()[0].pid
            assert self.killed is not None
            os.kill(self.killed, signal.SIGKILL)

    def cell_failed(self, cell: Cell, *, error: str) -> None:
        self.failed.append(f"{cell.task}: {error}")


@pytest.mark.parametrize("workers", [1, 2])
def test_cells_of_a_process_that_dies_fail_and_are_asked_again(study: dict[str, Any], workers: int) -> None:
    progress = Killing()
    finished = run(study, executor=WorkersExecutor(workers), progress=progress)
    assert len(finished.failures) == len(progress.failed) > 0
    assert "RuntimeError: its worker ended with exit code -9; with fewer --workers" in progress.failed[0]
    if workers == 1:
        assert "no worker is left" in progress.failed[-1]
        assert len(finished.failures) == 15
    else:
        assert len(finished.failures) <= 3
    assert run(study).failures == ()


class Interrupting(Progress):
    def cell_started(self, cell: Cell, *, items: int) -> None:
        raise KeyboardInterrupt


def test_an_interruption_ends_all_processes(study: dict[str, Any]) -> None:
    with pytest.raises(KeyboardInterrupt):
        run(study, workers=2, progress=Interrupting())
    assert active_children() == []
    assert list(Path(study["output"]).rglob(".tmp-*")) == []
    assert run(study).failures == ()


def test_a_model_that_cannot_be_loaded_is_refused_as_in_one_process(study: dict[str, Any], tmp_path: Path) -> None:
    file = tmp_path / "other" / "model.safetensors"
    content = file.read_bytes()

    class Damaging(Progress):
        """Damages the weights once they are checked."""

        def amount(self, tokens: Mapping[Cell, int]) -> None:
            file.write_bytes(content[: len(content) // 2])

    said = []
    for workers in (1, 2):
        file.write_bytes(content)
        with pytest.raises(UserError) as caught:
            run(study | {"models": [str(file.parent)], "candidates": []}, workers=workers, progress=Damaging())
        said.append(str(caught.value))
    assert said[0] == said[1]


def test_what_other_processes_cannot_have_is_refused(study: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UserError, match="other processes cannot write to 'memory://run'; run without --workers"):
        run(study | {"output": "memory://run"}, workers=2)

    def make(limit: int | None = None) -> MadeUpTask:
        task = MadeUpTask(limit)
        task.answer = lambda: None  # type: ignore[attr-defined]
        return task

    plug_in(monkeypatch, {"made_up": make})
    with pytest.raises(UserError, match="task 'made_up' cannot be sent to other processes .*; run without --workers"):
        run(study | {"tasks": ["made_up"]}, workers=2)


@pytest.mark.parametrize("workers", [0, -1, 1.5, True])
def test_wrong_numbers_are_refused(study: dict[str, Any], workers: Any) -> None:
    with pytest.raises(UserError, match=f"--workers must be a positive integer, not '{workers}'"):
        run(study, workers=workers)


def test_one_worker_is_this_process() -> None:
    assert type(executor_named("local", 1)) is LocalExecutor
    assert type(executor_named("local", 2)) is WorkersExecutor

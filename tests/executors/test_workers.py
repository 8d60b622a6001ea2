"""Cells in several processes: the same answers, and nothing lost when a process dies.

Covers ``executors.worker_process``.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Mapping
from multiprocessing import active_children
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import psutil
import pytest
from made_up_task import MadeUpTask, plug_in
from quick_commands import forgetmeter
from stored_tables import stored

from forgetmeter.errors import UserError
from forgetmeter.executors.executor import CellUnit, Progress, Read, Work
from forgetmeter.executors.local import LocalExecutor
from forgetmeter.executors.registry import executor_named
from forgetmeter.executors.workers import WorkersExecutor
from forgetmeter.records.cell import Cell
from forgetmeter.results.results import open_run
from forgetmeter.study.running import run


def test_the_answers_are_those_of_one_process(study: dict[str, Any], tmp_path: Path) -> None:
    alone = study | {"output": str(tmp_path / "alone")}
    assert run(alone).computed == 15
    finished = run(study, workers=2)
    assert (finished.computed, finished.failures) == (15, ())
    assert active_children() == []
    assert stored(study["output"]) == stored(alone["output"])
    assert len(list(Path(study["output"]).glob("variants/*/*noise*"))) == 3
    assert run(study, workers=2).computed == 0


@pytest.mark.slow
def test_the_answers_are_the_same_if_several_processes_read_a_cell(
    study: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("forgetmeter.executors.handing_out._FEWEST_ITEMS", 10)
    study |= {"tasks": study["tasks"][1:], "evaluation.limit": 60, "evaluation.batch_tokens": 64}
    alone = study | {"output": str(tmp_path / "alone")}
    run(alone)
    progress = Started()
    finished = run(study, workers=4, progress=progress)
    assert (finished.computed, finished.failures) == (10, ())
    # A cell is started for each of its shares, and once more to be stored.
    assert set(progress.started.values()) > {1, 3}
    assert stored(study["output"]) == stored(alone["output"])
    tokens = [[cell.tokens for cell in open_run(each["output"]).summary.cells] for each in (study, alone)]
    assert tokens[0] == tokens[1]


class ReadElsewhere:
    """Runs cells as if others had read a part of them, with states that they reused."""

    def execute(self, work: Work, progress: Progress) -> None:
        read = Read({}, 100.0, is_timed=False)
        LocalExecutor().execute_units(work, [CellUnit([cell], None, read) for cell in work.cells], progress)


def test_the_time_of_shares_counts(study: dict[str, Any]) -> None:
    run(study | {"tasks": study["tasks"][1:2]}, executor=ReadElsewhere())
    for cell in open_run(study["output"]).run.cells:
        assert cell.seconds is not None
        assert cell.seconds > 100
        assert not cell.is_timed


class Started(Progress):
    """Counts how often a cell is started."""

    def __init__(self) -> None:
        self.started: Counter[str] = Counter()

    def cell_started(self, cell: Cell, *, items: int) -> None:
        self.started[f"{cell.variant.id} {cell.task}"] += 1


@pytest.mark.slow
@pytest.mark.parametrize("sent", [signal.SIGKILL, signal.SIGSTOP])
def test_others_read_the_share_of_a_process_that_is_lost(
    study: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sent: signal.Signals
) -> None:
    monkeypatch.setattr("forgetmeter.executors.handing_out._FEWEST_ITEMS", 10)
    study |= {"tasks": study["tasks"][1:2], "recipes": ["baseline"], "evaluation.limit": 60}
    del study["candidates"]
    alone = study | {"output": str(tmp_path / "alone")}
    run(alone)
    progress = Signalling(sent)
    finished = run(study, workers=3, time_limit=20, progress=progress)
    if sent == signal.SIGKILL:
        assert (finished.computed, finished.failures) == (1, ())
    else:
        assert progress.failed == ["TimeoutError: it took longer than 20 s (--time-limit)"]
        assert run(study).failures == ()
    assert stored(study["output"]) == stored(alone["output"])


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


def _exit(connection: Connection, number: int) -> None:
    os._exit(3)


def _exit_as_if_done(connection: Connection, number: int) -> None:
    """As a plug-in that calls ``sys.exit`` when it is imported."""


class Signalling(Progress):
    """Sends a signal to a process when it has started a cell, as often as told."""

    def __init__(self, sent: signal.Signals, *, times: int = 1) -> None:
        self.stages: list[str] = []
        self.failed: list[str] = []
        self._sent, self._times = sent, times
        self._known: set[int | None] = set()

    def stage(self, text: str) -> None:
        self.stages.append(text)

    def cell_started(self, cell: Cell, *, items: int) -> None:
        new = [each.pid for each in active_children() if each.pid not in self._known]
        if len(self._known) < self._times and new and new[0] is not None:
            self._known.add(new[0])
            os.kill(new[0], self._sent)

    def cell_failed(self, cell: Cell, *, error: str) -> None:
        self.failed.append(error)


@pytest.mark.parametrize("workers", [1, 2])
def test_others_run_the_cells_of_a_process_that_dies(study: dict[str, Any], tmp_path: Path, workers: int) -> None:
    alone = study | {"output": str(tmp_path / "alone")}
    run(alone)
    progress = Signalling(signal.SIGKILL)
    finished = run(study, executor=WorkersExecutor(workers), progress=progress)
    assert (finished.computed, finished.failures, progress.failed) == (15, (), [])
    assert any(stage.startswith("a worker has ended (exit code -9); ") for stage in progress.stages)
    assert stored(study["output"]) == stored(alone["output"])


def test_a_cell_whose_processes_die_again_and_again_fails(study: dict[str, Any]) -> None:
    progress = Signalling(signal.SIGKILL, times=3)
    finished = run(study | {"tasks": ["divergence"]}, executor=WorkersExecutor(1), progress=progress)
    assert progress.failed
    assert set(progress.failed) == {
        "RuntimeError: 3 workers were lost while they started or ran it (the last one: exit code -9; with fewer "
        "--workers, each has more memory)"
    }
    assert len(progress.failed) == len(finished.failures) < 5
    # A failure of an earlier run is not taken for one of this run.
    again = Signalling(signal.SIGKILL)
    finished = run(study | {"tasks": ["divergence"]}, executor=WorkersExecutor(1), progress=again)
    assert (finished.failures, again.failed) == ((), [])
    assert any(stage.startswith("a worker has ended (exit code -9); ") for stage in again.stages)
    assert run(study).failures == ()


@pytest.mark.parametrize(("ends", "code"), [(_exit, 3), (_exit_as_if_done, 0)])
def test_processes_that_cannot_start_are_not_replaced_forever(
    study: dict[str, Any], monkeypatch: pytest.MonkeyPatch, ends: Callable[..., None], code: int
) -> None:
    monkeypatch.setattr("forgetmeter.executors.workers.worker_process.work", ends)
    finished = run(study, executor=WorkersExecutor(2))
    assert len(finished.failures) == 15
    assert f"while they started or ran it (the last one: exit code {code}" in finished.failures[0].error


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 2])
def test_a_process_that_hangs_is_ended_and_its_cell_fails(study: dict[str, Any], workers: int) -> None:
    progress = Signalling(signal.SIGSTOP)
    finished = run(study, workers=workers, time_limit=10, progress=progress)
    assert set(progress.failed) == {"TimeoutError: it took longer than 10 s (--time-limit)"}
    assert [failure.error for failure in finished.failures] == progress.failed
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


@pytest.mark.parametrize("number", [0, -1, 1.5, True])
def test_wrong_numbers_are_refused(study: dict[str, Any], number: Any) -> None:
    with pytest.raises(UserError, match=f"--workers must be a positive integer, not '{number}'"):
        run(study, workers=number)
    if number != 1.5:
        with pytest.raises(UserError, match=f"--time-limit must be a positive number of seconds, not '{number}'"):
            run(study, time_limit=number)


def test_one_worker_is_this_process_unless_its_time_is_limited() -> None:
    assert type(executor_named("local", workers=1)) is LocalExecutor
    assert type(executor_named("local", workers=2)) is WorkersExecutor
    assert type(executor_named("local", time_limit=60)) is WorkersExecutor


HANGING = """
import sys, time
from pathlib import Path

from forgetmeter.executors import worker_process
from forgetmeter.executors.workers import START


def hang(connection, given, number):
    Path(given).touch()
    time.sleep(600)


if __name__ == "__main__":
    here, there = START.Pipe()
    process = START.Process(target=worker_process.work, args=(there, 1), daemon=True)
    process.start()
    here.send((hang, sys.argv[1]))
    print(process.pid, flush=True)
    process.join()
"""


def test_a_worker_ends_with_the_process_that_started_it(tmp_path: Path) -> None:
    script, started = tmp_path / "hanging.py", tmp_path / "started"
    script.write_text(HANGING)
    first = subprocess.Popen([sys.executable, str(script), str(started)], stdout=subprocess.PIPE, text=True)
    assert first.stdout is not None
    worker = psutil.Process(int(first.stdout.readline()))
    _wait(started.exists)
    first.kill()
    first.wait()
    first.stdout.close()
    _wait(lambda: not worker.is_running() or worker.status() == psutil.STATUS_ZOMBIE)


def _wait(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.1)

"""Runs cells in several processes on this machine, which share its threads."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from itertools import chain
from multiprocessing import get_context
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from multiprocessing.reduction import ForkingPickler
from typing import TYPE_CHECKING

import torch

from forgetmeter.basics.plural import counted
from forgetmeter.errors import UserError, one_line
from forgetmeter.executors import worker_process
from forgetmeter.executors.executor import Executor, Progress, Work
from forgetmeter.executors.handing_out import HandingOut, ToldProgress
from forgetmeter.executors.local import LocalExecutor, fail
from forgetmeter.records.cell import Cell

if TYPE_CHECKING:
    from multiprocessing.context import ForkServerContext, SpawnContext

START: SpawnContext | ForkServerContext = get_context("spawn")
"""How processes are started: as new ones, since threads of this one do not survive a fork."""
_PATIENCE = 10.0
"""Seconds in which a process ends by itself."""


class WorkersExecutor:
    """Runs cells in several processes, each with the model in its memory.

    A process takes the cells of a variant, and the next one when it has stored them. With a precision, variants wait
    for their baseline. Cells whose process dies are stored as failed. Engines answer in this process.

    Args:
        workers: Number of processes.
    """

    def __init__(self, workers: int) -> None:
        self._number = workers

    def execute(self, work: Work, progress: Progress) -> None:
        """Run all cells.

        Raises:
            UserError: As ``LocalExecutor``; or the run is in this process's memory, or a task cannot be sent to
                another process.
        """
        if not work.store.folder.is_shared:
            raise UserError(f"other processes cannot write to '{work.store.location}'; run without --workers")
        others, of_engines = work.by_runtime()
        if others.cells:
            _Pool(others, progress, self._number).run()
        LocalExecutor().execute(of_engines, progress)


def on_this_machine(workers: int = 1) -> Executor:
    """Return an executor for a number of processes; one needs no other process."""
    return LocalExecutor() if workers == 1 else WorkersExecutor(workers)


@dataclass
class _Worker:
    """A process, this end of its connection, and the cells that it has taken last."""

    process: BaseProcess
    connection: Connection
    taken: list[Cell] = field(default_factory=list)


class _Pool:
    """Hands out the cells of a work to processes, and passes on what they report."""

    def __init__(self, work: Work, progress: Progress, number: int) -> None:
        self._work = work
        self._progress = progress
        self._pending = HandingOut(work, number)
        self._number = min(number, len(self._pending))
        self._workers: dict[Connection, _Worker] = {}
        self._waiting: list[_Worker] = []

    def run(self) -> None:
        sent = _pickled(self._work)
        self._progress.stage(f"starting {counted(self._number, 'worker')}")
        try:
            for _ in range(self._number):
                self._start()
            # Each reads it when it has started, so that they start at the same time.
            for worker in self._workers.values():
                with suppress(OSError):
                    worker.connection.send_bytes(sent)
            while self._workers:
                for connection in wait(list(self._workers)):
                    assert isinstance(connection, Connection)
                    self._receive(self._workers[connection])
        finally:
            for worker in self._workers.values():
                worker.process.terminate()
            for worker in self._workers.values():
                _end(worker.process)
        for cell in self._pending.cells:
            self._fail(cell, "no worker is left")

    def _start(self) -> None:
        here, there = START.Pipe()
        process = START.Process(target=worker_process.work, args=(there, self._number), daemon=True)
        process.start()
        there.close()
        self._workers[here] = _Worker(process, here)

    def _receive(self, worker: _Worker) -> None:
        try:
            told, *given = worker.connection.recv()
        except (EOFError, OSError):
            self._close(worker)
            return
        if told == "take":
            worker.taken = []
            self._waiting.append(worker)
            self._hand_out()
        elif told == "refuse":
            raise UserError(*given)
        else:
            getattr(self._progress, told)(*given[0], **given[1])

    def _hand_out(self) -> None:
        """Give each waiting worker the next cells that wait for no baseline, or tell it that none are left."""
        for worker in tuple(self._waiting):
            unit = self._pending.next(chain.from_iterable(each.taken for each in self._workers.values()))
            if unit is None and self._pending:
                return
            if unit is not None:
                worker.taken = unit
            self._waiting.remove(worker)
            # If it has ended meanwhile, its connection says so next.
            with suppress(OSError):
                worker.connection.send(worker.taken)

    def _close(self, worker: _Worker) -> None:
        """Forget a process that has ended; cells that it left are stored as failed."""
        _end(worker.process)
        del self._workers[worker.connection]
        for cell in self._work.unstored(worker.taken):
            self._fail(cell, f"its worker ended with exit code {worker.process.exitcode}")
        self._waiting = [each for each in self._waiting if each is not worker]
        self._hand_out()

    def _fail(self, cell: Cell, why: str) -> None:
        fail(self._work, self._progress, cell, RuntimeError(f"{why}; with fewer --workers, each has more memory"))


def _pickled(work: Work) -> memoryview:
    """Return a work for other processes, and what runs it there; what is large is read there again.

    Raises:
        UserError: A task cannot be sent.
    """
    for name, task in work.tasks.items():
        try:
            ForkingPickler.dumps(task)
        except Exception as error:
            raise UserError(
                f"task '{name}' cannot be sent to other processes ({one_line(error)}); run without --workers"
            ) from error
    return ForkingPickler.dumps((run_share, work))


def _end(process: BaseProcess) -> None:
    process.join(_PATIENCE)
    if process.is_alive():
        process.kill()
        process.join()


def run_share(connection: Connection, work: Work, number: int) -> None:
    """Run cells in a worker process; see ``worker_process.work``."""
    torch.set_num_threads(max(1, torch.get_num_threads() // number))
    try:
        LocalExecutor(processes=number).execute_units(
            work, _taken(connection), ToldProgress(partial(_send, connection))
        )
    except UserError as error:
        _send(connection, "refuse", str(error))


def _taken(connection: Connection) -> Iterator[list[Cell]]:
    while True:
        _send(connection, "take")
        try:
            cells = connection.recv()
        except EOFError:
            os._exit(1)
        if not cells:
            return
        yield cells


def _send(connection: Connection, *message: object) -> None:
    try:
        connection.send(message)
    except OSError:
        # The first process is gone; nobody is to store this as the failure of a cell.
        os._exit(1)

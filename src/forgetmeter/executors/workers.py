"""Runs cells in several processes on this machine, which share its threads."""

from __future__ import annotations

import math
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
from forgetmeter.basics.safe_path import safe_path
from forgetmeter.errors import UserError, one_line
from forgetmeter.executors import worker_process
from forgetmeter.executors.executor import CellUnit, Executor, Progress, Work
from forgetmeter.executors.handing_out import HandingOut, Taken, late, loss, run_units
from forgetmeter.executors.local import LocalExecutor, fail
from forgetmeter.records.cell import Cell

if TYPE_CHECKING:
    from multiprocessing.context import ForkServerContext, SpawnContext

START: SpawnContext | ForkServerContext = get_context("spawn")
"""How processes are started: as new ones, since threads of this one do not survive a fork."""
_PATIENCE = 10.0
"""Seconds in which a process ends by itself."""
_LONGEST_WAIT = 3600.0
"""Seconds; the system takes no timeouts of more than 24 days."""


class WorkersExecutor:
    """Runs cells in several processes, each with the model in its memory.

    A process takes the cells of a variant, and the next one when it has stored them. With a precision, variants wait
    for their baseline. If a process dies, the others run its cells, and only the last one is replaced, since with fewer
    processes each has more memory. Engines answer in this process.

    Args:
        workers: Number of processes.
        time_limit: Seconds that a cell may take, with loading and compressing; its process is ended and replaced.
    """

    def __init__(self, workers: int, *, time_limit: float | None = None) -> None:
        self._number, self._time_limit = workers, time_limit

    def execute(self, work: Work, progress: Progress) -> None:
        """Run all cells.

        Raises:
            UserError: As for ``LocalExecutor``; or the run is in this process's memory, or a task cannot be sent to
                another process.
        """
        if not work.store.folder.is_shared:
            flag = "--workers" if self._time_limit is None else "--workers and --time-limit"
            raise UserError(f"other processes cannot write to '{work.store.location}'; run without {flag}")
        others, of_engines = work.by_runtime()
        if others.cells:
            _Pool(others, progress, self._number, self._time_limit).run()
        LocalExecutor().execute(of_engines, progress)


def on_this_machine(workers: int = 1, *, time_limit: float | None = None) -> Executor:
    """Return an executor for a number of processes; one needs no other process, unless its time is limited."""
    if workers == 1 and time_limit is None:
        return LocalExecutor()
    return WorkersExecutor(workers, time_limit=time_limit)


@dataclass
class _Worker:
    """A process, this end of its connection, what it has taken, and whether and for which cell it is ended."""

    process: BaseProcess
    connection: Connection
    taken: Taken = field(default_factory=Taken)
    overdue: Cell | None = None
    is_ending: bool = False


class _Pool:
    """Hands out the cells of a work to processes, and passes on what they report."""

    def __init__(self, work: Work, progress: Progress, number: int, time_limit: float | None) -> None:
        self._work, self._sent = work, _pickled(work)
        self._progress = progress
        self._time_limit = time_limit
        self._pending = HandingOut(work, number)
        self._number = min(number, self._pending.most_workers)
        self._workers: dict[Connection, _Worker] = {}
        self._waiting: list[_Worker] = []

    def run(self) -> None:
        self._progress.stage(f"starting {counted(self._number, 'worker')}")
        try:
            self._start(self._number)
            # A process that has nothing left to do may hang at its end.
            while self._pending or any(each.taken.cells for each in self._workers.values()):
                for connection in wait(list(self._workers), self._patience()):
                    assert isinstance(connection, Connection)
                    self._receive(self._workers[connection])
                self._end_overdue()
            for worker in self._workers.values():
                worker.process.join(_PATIENCE)
        finally:
            for worker in self._workers.values():
                worker.process.terminate()
            for worker in self._workers.values():
                _end(worker.process)

    def _start(self, number: int = 1) -> None:
        started = []
        for _ in range(number):
            here, there = START.Pipe()
            process = START.Process(target=worker_process.work, args=(there, self._number), daemon=True)
            with safe_path():
                process.start()
            there.close()
            self._workers[here] = _Worker(process, here)
            started.append(here)
        # Each reads it when it has started, so that they start at the same time.
        for connection in started:
            with suppress(OSError):
                connection.send_bytes(self._sent)

    def _patience(self) -> float | None:
        """Return the seconds until a cell may have taken too long, unless its worker is ending already."""
        left = min(
            (each.taken.left(self._time_limit) for each in self._workers.values() if each.overdue is None),
            default=math.inf,
        )
        return min(max(0.0, left), _LONGEST_WAIT) if left < math.inf else None

    def _end_overdue(self) -> None:
        for worker in self._workers.values():
            if worker.overdue is None and worker.taken.left(self._time_limit) <= 0:
                worker.overdue = worker.taken.current
                # What it has reported is still read, before the end of its connection.
                worker.process.kill()

    def _receive(self, worker: _Worker) -> None:
        try:
            told, *given = worker.connection.recv()
        except (EOFError, OSError):
            self._close(worker)
            return
        if told == "take":
            worker.taken.take(CellUnit(()))
            self._waiting.append(worker)
            self._hand_out()
        elif told == "refuse":
            raise UserError(*given)
        else:
            worker.taken.note_call(told)
            if not self._pending.note_report(told, given[0]):
                getattr(self._progress, told)(*given[0], **given[1])

    def _hand_out(self) -> None:
        """Give each waiting worker the next cells that wait for no baseline, or tell it that none are left."""
        for worker in tuple(self._waiting):
            unit = self._pending.next(chain.from_iterable(each.taken.cells for each in self._workers.values()))
            if unit is None and self._pending:
                return
            worker.taken.take(unit or CellUnit(()))
            worker.is_ending = unit is None
            self._waiting.remove(worker)
            # If it has ended in the meantime, its connection reports that next.
            with suppress(OSError):
                worker.connection.send(worker.taken.unit)

    def _close(self, worker: _Worker) -> None:
        """Forget a process that has ended, and have others run the cells that it left."""
        _end(worker.process)
        del self._workers[worker.connection]
        self._waiting = [each for each in self._waiting if each is not worker]
        if worker.is_ending:
            return
        left = self._work.undone(worker.taken.cells)
        why = f"exit code {worker.process.exitcode}"
        others = sum(not each.is_ending for each in self._workers.values())
        given_up, again = self._pending.put_back(worker.taken.unit, left, hopeless=worker.overdue, others=others)
        for cell in given_up:
            lost = loss(f"{why}; with fewer --workers, each has more memory")
            fail(self._work, self._progress, cell, late(self._time_limit) if cell == worker.overdue else lost)
        if again:
            self._progress.stage(f"a worker has ended ({why}); {counted(len(again), 'cell')} will be run by others")
        if self._pending and (worker.overdue is not None or not others):
            self._start()
        self._hand_out()


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
        run_units(work, _taken(connection), partial(_send, connection), processes=number)
    except UserError as error:
        _send(connection, "refuse", str(error))


def _taken(connection: Connection) -> Iterator[CellUnit]:
    while True:
        _send(connection, "take")
        try:
            unit = connection.recv()
        except EOFError:
            os._exit(1)
        if not unit.cells:
            return
        yield unit


def _send(connection: Connection, *message: object) -> None:
    try:
        connection.send(message)
    except OSError:
        # The first process is gone; nobody is to store this as the failure of a cell.
        os._exit(1)

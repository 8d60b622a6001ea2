"""Code that runs on the nodes of a Ray cluster; imported there by the name of this module."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import chain
from time import monotonic
from typing import Any

import ray
import torch

from forgetmeter.basics.quiet import quiet
from forgetmeter.errors import UserError
from forgetmeter.executors.executor import CellUnit, Work
from forgetmeter.executors.handing_out import HandingOut, Taken, run_units
from forgetmeter.records.cell import Cell
from forgetmeter.version import __version__

Told = tuple[str, Sequence[Any], Mapping[str, Any]]
"""A call of a progress listener: name and arguments."""
_PAUSE = 0.2
"""Seconds in which news are collected before they are passed on."""


class Desk:
    """Hands out cells to workers, and collects what they report; one actor per study.

    Args:
        units: The cells.
        time_limit: Seconds that a cell may take, with loading and compressing.
    """

    def __init__(self, units: HandingOut, time_limit: float | None = None) -> None:
        self._units, self._time_limit = units, time_limit
        self._taken: dict[int, Taken] = {}
        self._reported: set[int] = set()
        self._told: list[Told] = []
        self._changed = asyncio.Condition()

    async def take(self, worker: int, told: Sequence[Told]) -> CellUnit:
        """Note what a worker tells, and return its next cells, none if no cell is left; it has stored those before."""
        await self.tell(worker, told)
        async with self._changed:
            self._taken.pop(worker, None)
            self._changed.notify_all()
            while self._units or self._taken:
                unit = self._units.next(chain.from_iterable(each.cells for each in self._taken.values()))
                if unit is not None:
                    self._taken.setdefault(worker, Taken()).take(unit)
                    return unit
                # For a baseline, or for cells of a worker that is lost.
                await self._changed.wait()
            return CellUnit(())

    async def taken(self, worker: int) -> Sequence[Cell]:
        """Return the cells that a worker has taken and may not have stored."""
        return self._taken.get(worker, Taken()).cells

    async def put_back(
        self, worker: int, cells: Sequence[Cell], *, hopeless: Cell | None, others: int
    ) -> tuple[list[Cell], list[Cell], int]:
        """Hand out cells of a lost worker again.

        Returns:
            As ``HandingOut.put_back``, and how many units there are for other workers to start with; 0 if these would
            most likely be lost as well.
        """
        async with self._changed:
            # At once, so that nobody sees these cells as neither taken nor left.
            unit = self._taken.pop(worker, Taken()).unit
            given_up, again = self._units.put_back(unit, cells, hopeless=hopeless, others=others)
            self._changed.notify_all()
            return given_up, again, 0 if self._units.start_in_vain else len(self._units)

    async def tell(self, worker: int, told: Sequence[Told]) -> None:
        """Note calls of a progress listener."""
        async with self._changed:
            if worker in self._taken:
                for name, _, _ in told:
                    self._taken[worker].note_call(name)
            self._told += [each for each in told if not self._units.note_report(each[0], each[1])]
            # The last share of a cell makes another unit.
            self._changed.notify_all()

    async def left(self) -> int:
        """Return how many units no worker has taken."""
        return len(self._units)

    async def news(self) -> News:
        """Return what is new since the last time, once there is anything or all cells are done."""
        while not (self._told or self._overdue() or self._is_done):
            await asyncio.sleep(_PAUSE)
        overdue = self._overdue()
        self._reported.update(overdue)
        told, self._told = self._told, []
        return News(told, overdue, is_done=self._is_done)

    @property
    def _is_done(self) -> bool:
        return not self._units and not self._taken

    def _overdue(self) -> dict[int, Cell]:
        return {
            worker: taken.current
            for worker, taken in self._taken.items()
            if worker not in self._reported and taken.current is not None and taken.left(self._time_limit) <= 0
        }


@dataclass(frozen=True)
class News:
    """Progress since the last time it was asked for.

    Attributes:
        told: Calls of a progress listener.
        overdue: The cells that take too long, by the number of their worker; each is reported once.
        is_done: Whether workers have no cells, and none are left.
    """

    told: Sequence[Told]
    overdue: Mapping[int, Cell]
    is_done: bool


@dataclass(frozen=True)
class WorkerStart:
    """How a worker starts.

    Attributes:
        worker: Its number.
        cpus: Number of threads.
        beside: Number of workers on its node.
        folder: Where the run was started; paths may be relative to it.
        version: The version of forgetmeter that started it.
    """

    worker: int
    cpus: int
    beside: int
    folder: str
    version: str


def run_share(desk: Any, start: WorkerStart, sent: Sequence[Any]) -> None:  # noqa: ANN401
    """Run cells on a node, as long as the desk hands out any.

    Args:
        desk: Handle of a ``Desk``.
        start: How this worker starts.
        sent: A reference to the ``Work``; in a list, so that Ray leaves it to this function to read it.

    Raises:
        UserError: As for ``LocalExecutor``; or this node does not see the run, or has another version of forgetmeter.
    """
    if start.version != __version__:
        raise UserError(
            f"node {ray.util.get_node_ip_address()} has forgetmeter {__version__}, but {start.version} started the "
            "run; install the same version on all nodes"
        )
    with suppress(OSError):
        # Before the work is read, whose paths may be relative.
        os.chdir(start.folder)
    work: Work = ray.get(sent[0])
    torch.set_num_threads(start.cpus)
    with quiet():
        if not work.store.has_study():
            raise UserError(
                f"node {ray.util.get_node_ip_address()} does not see the run at '{work.store.location}'; as --out, "
                "choose a folder that all nodes share, or a URL such as s3://…"
            )
        mail = _Mail(desk, start.worker)
        run_units(work, mail.taken(), mail.tell, processes=start.beside)


class _Mail:
    """Takes cells from a desk, and sends it reports; those that follow each other quickly are sent together.

    Each call waits for its answer: Ray may run two calls to an asynchronous actor in another order.
    """

    def __init__(self, desk: Any, worker: int) -> None:  # noqa: ANN401
        self._desk, self._worker = desk, worker
        self._told: list[Told] = []
        self._sent = 0.0

    def tell(self, name: str, given: Sequence[Any], named: Mapping[str, Any]) -> None:
        self._told.append((name, given, named))
        if monotonic() >= self._sent + _PAUSE:
            ray.get(self._desk.tell.remote(self._worker, self._collected()))

    def taken(self) -> Iterator[CellUnit]:
        while (unit := ray.get(self._desk.take.remote(self._worker, self._collected()))).cells:
            yield unit

    def _collected(self) -> list[Told]:
        told, self._told, self._sent = self._told, [], monotonic()
        return told

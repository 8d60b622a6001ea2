"""What runs on the nodes of a Ray cluster; imported there by the name of this module."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import chain
from typing import Any

import ray
import torch

from forgetmeter.basics.quiet import quiet
from forgetmeter.errors import UserError
from forgetmeter.executors.executor import Work
from forgetmeter.executors.handing_out import HandingOut, ToldProgress
from forgetmeter.executors.local import LocalExecutor
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
    """

    def __init__(self, units: HandingOut) -> None:
        self._units = units
        self._taken: dict[int, list[Cell]] = {}
        self._told: list[Told] = []
        self._is_closed = False
        self._changed = asyncio.Condition()

    async def take(self, worker: int) -> list[Cell]:
        """Return the next cells of a worker, which has stored those before; none if no cell is left."""
        async with self._changed:
            self._taken.pop(worker, None)
            self._changed.notify_all()
            while self._units or self._taken:
                unit = self._units.next(chain.from_iterable(self._taken.values()))
                if unit is not None:
                    self._taken[worker] = unit
                    return unit
                # For a baseline, or for cells of a worker that is lost.
                await self._changed.wait()
            return []

    async def lost(self, worker: int) -> list[Cell]:
        """Return the cells that a worker has taken and may not have stored."""
        return self._taken.pop(worker, [])

    async def put_back(self, cells: Iterable[Cell]) -> int:
        """Hand cells out again, and return how many units are left."""
        async with self._changed:
            self._units.put_back(cells)
            self._changed.notify_all()
            return len(self._units)

    async def tell(self, name: str, given: Sequence[Any], named: Mapping[str, Any]) -> None:
        """Note a call of a progress listener."""
        self._told.append((name, given, named))

    async def news(self) -> list[Told]:
        """Return the calls since the last time, once there are any or the desk is closed."""
        while not self._told and not self._is_closed:
            await asyncio.sleep(_PAUSE)
        told, self._told = self._told, []
        return told

    async def close(self) -> None:
        """Wait for no more calls."""
        self._is_closed = True


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


def run_share(desk: Any, start: WorkerStart, work: Work) -> None:  # noqa: ANN401
    """Run cells on a node, as long as the desk hands out any.

    Args:
        desk: Handle of a ``Desk``.
        start: How this worker starts.
        work: All cells.

    Raises:
        UserError: As ``LocalExecutor``; or this node does not see the run, or has another version of forgetmeter.
    """
    if start.version != __version__:
        raise UserError(
            f"node {ray.util.get_node_ip_address()} has forgetmeter {__version__}, but {start.version} started the "
            "run; install the same version on all nodes"
        )
    with suppress(OSError):
        os.chdir(start.folder)
    torch.set_num_threads(start.cpus)
    with quiet():
        if not work.store.has_study():
            raise UserError(
                f"node {ray.util.get_node_ip_address()} does not see the run at '{work.store.location}'; as --out, "
                "choose a folder that all nodes share, or a URL such as s3://…"
            )
        LocalExecutor(processes=start.beside).execute_units(
            work, _taken(desk, start.worker), ToldProgress(desk.tell.remote)
        )


def _taken(desk: Any, worker: int) -> Iterator[list[Cell]]:  # noqa: ANN401
    while cells := ray.get(desk.take.remote(worker)):
        yield cells

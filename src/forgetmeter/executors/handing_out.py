"""Which cells a worker runs next, where several run the cells of one study."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from itertools import chain
from time import monotonic
from typing import Any

from forgetmeter.executors.executor import Progress, Work
from forgetmeter.executors.local import by_variant
from forgetmeter.records.cell import Cell

_MOST_ATTEMPTS = 3
"""How often a cell is tried whose worker is lost each time, and the workers lost at their start in a row."""
_DONE = ("cell_finished", "cell_kept", "cell_failed")
Tell = Callable[[str, tuple[Any, ...], dict[str, Any]], object]
"""Passes on a call of a progress listener: its name and arguments."""


class ToldProgress(Progress):
    """Passes on every call, from a worker to where the run was started."""

    def __init__(self, tell: Tell) -> None:
        self._tell = tell

    def __getattribute__(self, name: str) -> Any:  # noqa: ANN401
        if name.startswith("_"):
            return super().__getattribute__(name)
        return partial(self._call, name)

    def _call(self, name: str, /, *given: Any, **named: Any) -> None:  # noqa: ANN401
        self._tell(name, given, named)


class HandingOut:
    """The cells that no worker has taken yet, in units that are taken as a whole.

    A unit has the cells of one variant, which a worker installs once. Cells that others wait for, and those at the end,
    are units of their own.

    Args:
        work: The work.
        workers: Number of workers.
    """

    def __init__(self, work: Work, workers: int) -> None:
        self._attempts: dict[Cell, int] = {}
        self._lost_at_start = 0
        self._is_precise = work.evaluation.precision is not None
        self._pending: list[list[Cell]] = []
        variants = by_variant(work.cells)
        for place, cells in enumerate(variants):
            is_awaited = self._is_precise and cells[0].variant.recipe.is_baseline
            is_among_last = place > len(variants) - workers
            self._pending += [[cell] for cell in cells] if is_awaited or is_among_last else [cells]

    def __len__(self) -> int:
        return len(self._pending)

    @property
    def cells(self) -> Sequence[Cell]:
        """The cells that are left."""
        return tuple(chain.from_iterable(self._pending))

    def next(self, taken: Iterable[Cell]) -> list[Cell] | None:
        """Take the first unit that does not wait for others; ``None`` if there is none.

        With a precision, a variant waits for the cells of its baseline, which decide when it stops.

        Args:
            taken: The cells that workers have taken and not stored yet.
        """
        awaited = set()
        if self._is_precise:
            variants = (cell.variant for cell in chain(self.cells, taken))
            awaited = {variant.model for variant in variants if variant.recipe.is_baseline}
        for place, unit in enumerate(self._pending):
            variant = unit[0].variant
            if variant.recipe.is_baseline or variant.model not in awaited:
                self._lost_at_start = 0
                return self._pending.pop(place)
        return None

    def put_back(self, cells: Sequence[Cell], *, hopeless: Cell | None = None) -> list[Cell]:
        """Have cells that a worker has taken run first, one by one, and return those that are not tried again.

        Args:
            cells: What the worker has not stored, in order; it was lost while it ran the first one. Without any, it
                may have been lost while it started.
            hopeless: The cell that would have the same fate again, if there is one.
        """
        self._lost_at_start += not cells
        if self._lost_at_start == _MOST_ATTEMPTS:
            given_up, self._pending = list(self.cells), []
            return given_up
        given_up = [cell for cell in cells if cell == hopeless]
        for cell in () if given_up else cells:
            self._attempts[cell] = self._attempts.get(cell, 0) + 1
            if self._attempts[cell] == _MOST_ATTEMPTS:
                given_up.append(cell)
        self._pending[:0] = [[cell] for cell in cells if cell not in given_up]
        return given_up


class Taken:
    """The cells that a worker has taken last, and since when it runs the current one."""

    def __init__(self) -> None:
        self.cells: Sequence[Cell] = ()
        self._done = 0
        self._since = 0.0

    def take(self, cells: Sequence[Cell]) -> None:
        """Note what the worker takes."""
        self.cells, self._done, self._since = cells, 0, monotonic()

    def told(self, name: str) -> None:
        """Note a call of a progress listener, by its name."""
        if name in _DONE:
            self._done, self._since = self._done + 1, monotonic()

    @property
    def current(self) -> Cell | None:
        """The cell that the worker runs; ``None`` if it has none."""
        return self.cells[self._done] if self._done < len(self.cells) else None

    def left(self, time_limit: float | None) -> float:
        """Return the seconds that are left for the current cell; infinite if there is no limit, or no cell."""
        is_limited = time_limit is not None and self.current is not None
        return self._since + (time_limit or 0) - monotonic() if is_limited else math.inf


def loss(why: str) -> RuntimeError:
    """Return the error of a cell that was tried for the last time."""
    return RuntimeError(f"{_MOST_ATTEMPTS} workers were lost while they started or ran it (the last one: {why})")


def late(time_limit: float | None) -> TimeoutError:
    """Return the error of a cell that took too long."""
    return TimeoutError(f"it took longer than {time_limit:g} s (--time-limit)")

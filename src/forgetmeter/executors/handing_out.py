"""Which cells a worker runs next, when several workers share a study."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from functools import partial
from itertools import chain
from time import monotonic
from typing import Any

from forgetmeter.executors.executor import CellUnit, Progress, Read, Work
from forgetmeter.executors.local import LocalExecutor, by_variant
from forgetmeter.records.cell import Cell
from forgetmeter.records.item import Task, is_compared, is_generated

_MOST_ATTEMPTS = 3
"""Maximum number of attempts at a cell whose worker is lost, and of workers lost in a row at startup."""
SHARE_READ = "share_read"
"""Reported, with the unit and the ``Read``, by a worker that has read a share of a cell."""
_DONE = ("cell_finished", "cell_kept", "cell_failed", SHARE_READ)
_SHARES_PER_WORKER = 2
"""Units per worker at the end of a run, by simulation (docs/scale.md): fewer leave workers idle, more cost more."""
_MOST_SHARES = 8
_FEWEST_ITEMS = 128
"""Minimum items of a share; each share costs tokenizing all items, and installing the variant."""
Tell = Callable[[str, tuple[Any, ...], dict[str, Any]], object]
"""Forwards a call to a progress listener: its name and arguments."""


class ForwardedProgress(Progress):
    """Forwards every call, from a worker to the process that started the run."""

    def __init__(self, tell: Tell) -> None:
        self._tell = tell

    def __getattribute__(self, name: str) -> Any:  # noqa: ANN401
        if name.startswith("_"):
            return super().__getattribute__(name)
        return partial(self._call, name)

    def _call(self, name: str, /, *given: Any, **named: Any) -> None:  # noqa: ANN401
        self._tell(name, given, named)


def run_units(work: Work, units: Iterable[CellUnit], tell: Tell, *, processes: int) -> None:
    """Run the units that a worker takes, and report their progress.

    Args:
        work: All cells that are run, here and elsewhere.
        units: The units that the worker takes; read one after the other.
        tell: Forwards calls to a progress listener, and ``SHARE_READ``.
        processes: Number of workers on this machine.

    Raises:
        UserError: As for ``LocalExecutor.execute_units``.
    """
    LocalExecutor(processes=processes).execute_units(
        work, units, ForwardedProgress(tell), on_share=lambda *read: tell(SHARE_READ, read, {})
    )


class HandingOut:
    """The cells that no worker has taken yet, in units that are taken as a whole.

    A unit has the cells of one variant, which a worker installs once. Cells that others wait for, and those at the end,
    are units of their own. When at most twice as many units as workers are left, a cell is split by batches: several
    workers read a share each, and then one of them only has to store the answers.

    Args:
        work: All cells to run, with their tasks and settings.
        workers: Number of workers.
    """

    def __init__(self, work: Work, workers: int) -> None:
        self._attempts: dict[tuple[Cell, object], int] = {}
        self._lost_at_start = 0
        self._failed: set[Cell] = set()
        self._may_stop = work.stop is not None
        self._workers = workers
        self._read: dict[Cell, dict[int, Read]] = {}
        self._shares = {name: _most_shares(task) for name, task in work.tasks.items()}
        self._pending: list[CellUnit] = []
        variants = by_variant(work.cells)
        for place, cells in enumerate(variants):
            is_awaited = self._may_stop and cells[0].variant.recipe.is_baseline
            is_among_last = place > len(variants) - workers
            self._pending += [CellUnit([cell]) for cell in cells] if is_awaited or is_among_last else [CellUnit(cells)]

    def __len__(self) -> int:
        return len(self._pending)

    @property
    def cells(self) -> Sequence[Cell]:
        """The cells that are left."""
        return tuple(dict.fromkeys(chain.from_iterable(unit.cells for unit in self._pending)))

    @property
    def most_workers(self) -> int:
        """The number of workers that can have something to do at once."""
        if self._may_stop:
            return len(self)
        return sum(self._shares[unit.cells[0].task] if len(unit.cells) == 1 else 1 for unit in self._pending)

    def next(self, taken: Iterable[Cell]) -> CellUnit | None:
        """Take the first unit that does not wait for others; ``None`` if there is none.

        If variants may stop early, a variant waits for the cells of its baseline, which decide when it stops.

        Args:
            taken: The cells that workers have taken and not stored yet.
        """
        awaited = set()
        if self._may_stop:
            variants = (cell.variant for cell in chain(self.cells, taken))
            awaited = {variant.model for variant in variants if variant.recipe.is_baseline}
        for place, unit in enumerate(self._pending):
            variant = unit.cells[0].variant
            if variant.recipe.is_baseline or variant.model not in awaited:
                self._lost_at_start = 0
                return self._split(self._pending.pop(place))
        return None

    def _split(self, unit: CellUnit) -> CellUnit:
        """Return the first share of a unit, or the unit itself; the other shares come next."""
        wanted = _SHARES_PER_WORKER * self._workers // (1 + len(self._pending))
        shares = min(self._shares[unit.cells[0].task], max(2, wanted))
        is_whole = unit.share is None and unit.read is None
        if self._may_stop or len(unit.cells) > 1 or not is_whole or not wanted or shares == 1:
            return unit
        first, *others = [replace(unit, share=(number, shares)) for number in range(shares)]
        self._read[unit.cells[0]] = {}
        self._pending[:0] = others
        return first

    def note_report(self, name: str, given: Sequence[Any]) -> bool:
        """Record a worker's report, and return whether it is for this object only."""
        if name == SHARE_READ:
            self._note_share(*given)
        elif name == "cell_failed":
            self._failed.add(given[0])
            self._forget_shares([given[0]])
        return name == SHARE_READ

    def _note_share(self, unit: CellUnit, read: Read) -> None:
        (cell,) = unit.cells
        assert unit.share is not None
        number, shares = unit.share
        known = self._read.get(cell)
        if known is None:
            # The cell has failed.
            return
        known[number] = read
        if len(known) == shares:
            del self._read[cell]
            self._pending.insert(0, replace(unit, share=None, read=sum(known.values(), Read())))

    def _forget_shares(self, cells: Sequence[Cell]) -> None:
        self._pending = [unit for unit in self._pending if unit.share is None or unit.cells[0] not in cells]
        for cell in cells:
            self._read.pop(cell, None)

    @property
    def start_in_vain(self) -> bool:
        """Whether so many workers in a row were lost while they started that another one would most likely be, too."""
        return self._lost_at_start >= _MOST_ATTEMPTS

    def put_back(
        self, unit: CellUnit, cells: Sequence[Cell], *, hopeless: Cell | None = None, others: int = 0
    ) -> tuple[list[Cell], list[Cell]]:
        """Put a lost worker's cells at the front, one by one.

        If workers are lost again and again while they start, and no other is left, all cells are given up.

        Args:
            unit: The unit that the worker has taken.
            cells: The cells of the unit that have no outcomes, in order; those whose failure was reported are left out,
                and the worker was lost while it ran the first of the others. If there are none, it may have been lost
                while it started.
            hopeless: The cell that would fail the same way again, if there is one.
            others: Number of other workers.

        Returns:
            The cells that are given up, and those of the unit that are tried again.
        """
        cells = [cell for cell in cells if cell not in self._failed]
        if unit.share is not None:
            known = self._read.get(unit.cells[0])
            if known is None or unit.share[0] in known:
                # Others have given the cell up, or the worker was lost after it had reported the share.
                return [], []
        self._lost_at_start += not cells
        if self.start_in_vain and not others:
            given_up, self._pending = list(self.cells), []
            return given_up, []
        given_up = [cell for cell in cells if cell == hopeless]
        for cell in () if given_up else cells:
            key = cell, unit.share
            self._attempts[key] = self._attempts.get(key, 0) + 1
            if self._attempts[key] == _MOST_ATTEMPTS:
                given_up.append(cell)
        again = [cell for cell in cells if cell not in given_up]
        self._pending[:0] = [replace(unit, cells=[cell]) for cell in again]
        self._forget_shares(given_up)
        return given_up, again


def _most_shares(task: Task) -> int:
    """Return how many workers can read a task's batches, at most."""
    if is_generated(task.items) or is_compared(task.items):
        return 1
    return max(1, min(_MOST_SHARES, len(task.items) // _FEWEST_ITEMS))


class Taken:
    """The cells that a worker has taken last, and when the current one started."""

    def __init__(self) -> None:
        self.unit = CellUnit(())
        self._done = 0
        self._since = 0.0

    def take(self, unit: CellUnit) -> None:
        """Note what the worker takes."""
        self.unit, self._done, self._since = unit, 0, monotonic()

    @property
    def cells(self) -> Sequence[Cell]:
        """The cells of what it has taken."""
        return self.unit.cells

    def note_call(self, name: str) -> None:
        """Record a call to a progress listener, by its name."""
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
    """Return the error of a cell whose last attempt failed."""
    return RuntimeError(f"{_MOST_ATTEMPTS} workers were lost while they started or ran it (the last one: {why})")


def late(time_limit: float | None) -> TimeoutError:
    """Return the error of a cell that took too long."""
    return TimeoutError(f"it took longer than {time_limit:g} s (--time-limit)")

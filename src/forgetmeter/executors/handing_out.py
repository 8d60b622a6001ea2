"""Which cells a worker runs next, where several run the cells of one study."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from itertools import chain
from typing import Any

from forgetmeter.executors.executor import Progress, Work
from forgetmeter.executors.local import by_variant
from forgetmeter.records.cell import Cell

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
                return self._pending.pop(place)
        return None

    def put_back(self, cells: Iterable[Cell]) -> None:
        """Have cells that a worker has taken run first, one by one."""
        self._pending[:0] = [[cell] for cell in cells]

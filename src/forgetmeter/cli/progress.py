"""Progress on standard error: a live line on a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from statistics import mean
from typing import TextIO

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn

from forgetmeter.basics.plural import counted
from forgetmeter.basics.visible_text import visible_line
from forgetmeter.executors.executor import Progress as Listener
from forgetmeter.records.cell import Cell
from forgetmeter.study.checked_study import CheckedStudy

_PLAIN_EVERY = 15.0
# Share of the work that must be done before its time is estimated.
_LEAST_SHARE = 0.001


class StageLines(Listener):
    """Prints one line per stage before the first cell; on a terminal, the last one counts its parts."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def stage(self, text: str) -> None:
        """Print the stage."""
        self._stream.write(f"{visible_line(text)}\n")
        self._stream.flush()

    def stage_advanced(self, done: int, total: int) -> None:
        """Print the number of finished parts on one line, which the next number or stage replaces."""
        if self._stream.isatty():
            self._stream.write(f"\r\x1b[K{f'{done:,} of {total:,}' if done < total else ''}")
            self._stream.flush()

    def amount(self, tokens: Mapping[Cell, int]) -> None:
        """Print the amount."""
        if tokens:
            self.stage(amount_in_words(tokens))


def amount_in_words(tokens: Mapping[Cell, int]) -> str:
    """Return about how many tokens cells read, and write at most: in total, and per variant on each task."""
    by_task: dict[str, list[int]] = {}
    for cell, number in tokens.items():
        by_task.setdefault(cell.task, []).append(number)
    each = ", ".join(f"{_about(mean(some))} on {task}" for task, some in by_task.items())
    return f"about {_about(sum(tokens.values()))} tokens to process; per variant, {each}"


def _about(number: float) -> str:
    return f"{round(float(f'{number:.2g}')):,}"


@contextmanager
def progress_on(stream: TextIO, checked: CheckedStudy) -> Iterator[Listener]:
    """Yield a listener that shows a run's progress."""
    pace = _Pace(total=len(checked.plan.cells), missing=len(checked.missing), to_score=checked.to_score())
    console = Console(file=stream, highlight=False)
    if not console.is_terminal:
        yield _PlainProgress(console, pace)
        return
    with Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=24),
        TextColumn("{task.fields[pace]}"),
        console=console,
    ) as live:
        yield _LiveProgress(live, live.add_task("", total=1.0, pace=""), pace)


@dataclass
class _Started:
    """A cell that is being scored."""

    items: int
    weight: float
    since: float
    share: float = 0.0
    # When its first batch was done, and the share that it was.
    first: tuple[float, float] | None = None

    def left(self, now: float) -> float:
        """Return the seconds that the rest takes at the pace since the first batch; 0 if unknown."""
        since, before = self.first or (now, self.share)
        return (1 - self.share) * (now - since) / (self.share - before) if self.share > before else 0.0


class _Pace:
    """How much is done and left: cells count by the tokens they read, or equally if those are unknown."""

    def __init__(self, *, total: int, missing: int, to_score: Sequence[Cell]) -> None:
        self.total, self.done = total, total - missing
        # Several, if several processes run them.
        self._started: dict[Cell, _Started] = {}
        self._to_do = list(to_score)
        self._tokens: Mapping[Cell, int] = {}
        self._work = 0.0
        # When the first cell started: starting workers and reading tasks come before.
        self._begin: float | None = None
        # When the first batch was done, and how much it was: tokenizing and loading come before.
        self._first: tuple[float, float] | None = None

    def expect(self, tokens: Mapping[Cell, int]) -> None:
        if tokens.keys() == set(self._to_do):
            self._tokens = tokens

    def start_cell(self, cell: Cell, items: int) -> None:
        self._first = self._first if self._started else None
        self._begin = self._begin or time.monotonic()
        self._started[cell] = _Started(items, self._tokens.get(cell, 1), time.monotonic())

    def advance(self, cell: Cell, share: float) -> None:
        if (started := self._started.get(cell)) is not None:
            started.share = share
            started.first = started.first or (time.monotonic(), share)
        self._first = self._first or (time.monotonic(), self._under_way)

    def finish_cell(self, cell: Cell) -> tuple[int, int]:
        """Count a cell, and return its items and how many of them were asked."""
        self.done += 1
        self._work += self._tokens.get(cell, 1)
        ended = self._started.pop(cell, None)
        # A cell whose model cannot be loaded was not started.
        return (0, 0) if ended is None else (ended.items, round(ended.items * ended.share) or ended.items)

    def keep_cell(self, cell: Cell) -> None:
        """Count a cell that needed no scoring, so that it does not shorten the estimate."""
        self.done += 1
        self._started.pop(cell, None)
        if cell in self._to_do:
            self._to_do.remove(cell)
        self._tokens = {each: tokens for each, tokens in self._tokens.items() if each != cell}

    @property
    def overall(self) -> float:
        return (self.done + sum(each.share for each in self._started.values())) / self.total if self.total else 1.0

    @property
    def _under_way(self) -> float:
        return sum(each.share * each.weight for each in self._started.values())

    def describe(self) -> str:
        now = time.monotonic()
        rates = [each.items * each.share / (now - each.since) for each in self._started.values() if now > each.since]
        rate = f"{sum(rates):.1f} items/s" if any(rates) else "… items/s"
        return f"{self.done}/{self.total} cells, {rate}, {self.left()} left"

    def left(self) -> str:
        whole, done = sum(self._tokens.values()) or len(self._to_do), self._work + self._under_way
        since, before = self._begin or time.monotonic(), 0.0
        if not self._work and self._first is not None:
            # The first cell's share of preparation says nothing about the rest.
            since, before = self._first
        work, now = done - before, time.monotonic()
        if work <= _LEAST_SHARE * whole:
            return "…"
        pace = (now - since) / work
        # A cell that is slower than the others, such as one whose texts are read one by one.
        slower = (each.left(now) - pace * each.weight * (1 - each.share) for each in self._started.values())
        return _duration(pace * (whole - done) + max([0.0, *slower]))


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


class _LiveProgress(Listener):
    def __init__(self, live: Progress, bar: TaskID, pace: _Pace) -> None:
        self._live, self._bar, self._pace = live, bar, pace

    def stage(self, text: str) -> None:
        self._update(text)

    def amount(self, tokens: Mapping[Cell, int]) -> None:
        self._pace.expect(tokens)
        if tokens:
            self._live.console.print(amount_in_words(tokens), markup=False)

    def cell_started(self, cell: Cell, *, items: int) -> None:
        self._pace.start_cell(cell, items)
        self._update(f"{cell.variant.recipe} · {cell.task}")

    def cell_advanced(self, cell: Cell, *, share: float) -> None:
        self._pace.advance(cell, share)
        self._update(f"{cell.variant.recipe} · {cell.task}")

    def cell_finished(self, cell: Cell, *, seconds: float) -> None:  # noqa: ARG002
        self._pace.finish_cell(cell)
        self._update(f"{cell.variant.recipe} · {cell.task}")

    def cell_kept(self, cell: Cell) -> None:
        self._pace.keep_cell(cell)
        self._update(f"{cell.variant.recipe} · {cell.task}")

    def cell_failed(self, cell: Cell, *, error: str) -> None:
        self._pace.finish_cell(cell)
        text = visible_line(f"failed: {cell.variant.recipe} on {cell.task}: {error}")
        self._live.console.print(text, style="red", markup=False)

    def _update(self, text: str) -> None:
        self._live.update(
            self._bar, description=visible_line(text), completed=self._pace.overall, pace=self._pace.describe()
        )


class _PlainProgress(Listener):
    def __init__(self, console: Console, pace: _Pace) -> None:
        self._console, self._pace, self._said = console, pace, time.monotonic()

    def stage(self, text: str) -> None:
        self._say(text)

    def amount(self, tokens: Mapping[Cell, int]) -> None:
        self._pace.expect(tokens)
        if tokens:
            self._say(amount_in_words(tokens))

    def cell_started(self, cell: Cell, *, items: int) -> None:
        self._pace.start_cell(cell, items)

    def cell_advanced(self, cell: Cell, *, share: float) -> None:
        self._pace.advance(cell, share)
        if time.monotonic() - self._said > _PLAIN_EVERY:
            self._say(f"{cell.variant.recipe} on {cell.task}: {share:.0%}; {self._pace.describe()}")

    def cell_finished(self, cell: Cell, *, seconds: float) -> None:
        items, asked = self._pace.finish_cell(cell)
        rate = asked / seconds if seconds else 0.0
        # Fewer than all if asking stopped early.
        of = "" if asked == items else f"{asked:,} of "
        self._say(
            f"{cell.variant.recipe} on {cell.task}: {of}{counted(items, 'item')} in {seconds:.1f} s "
            f"({rate:.1f} items/s); {self._pace.done}/{self._pace.total} cells, {self._pace.left()} left"
        )

    def cell_kept(self, cell: Cell) -> None:
        self._pace.keep_cell(cell)
        self._say(
            f"{cell.variant.recipe} on {cell.task}: outcomes already stored; {self._pace.done}/{self._pace.total} cells"
        )

    def cell_failed(self, cell: Cell, *, error: str) -> None:
        self._pace.finish_cell(cell)
        self._say(f"failed: {cell.variant.recipe} on {cell.task}: {error}")

    def _say(self, text: str) -> None:
        self._said = time.monotonic()
        self._console.print(visible_line(text), markup=False, soft_wrap=True)

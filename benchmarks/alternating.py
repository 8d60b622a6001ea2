"""Runs two implementations of the same work in alternation, each in a process of its own."""

from __future__ import annotations

import contextlib
import io
import multiprocessing
import os
import resource
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from statistics import median

Answers = Sequence[float]
Work = Callable[[], Answers]
"""What is timed; returns numbers that both implementations must agree on."""


@dataclass(frozen=True)
class Job:
    """What one implementation does.

    Attributes:
        work: What is timed.
        number: Number of answers.
        least: Returns the seconds in which its arithmetic would be done at the rate of a large matrix product.
    """

    work: Work
    number: int
    least: Callable[[], float] | None = None


Maker = Callable[[int], Job]
"""Loads what the work needs, which is not timed, given a number of items."""


@dataclass(frozen=True)
class Comparison:
    """One line of the table.

    Attributes:
        name: What is done.
        peer: The implementation to compare with.
        ours: Makes our work; a function at the top of a module, as it is sent to another process.
        theirs: Makes the peer's.
        items: Number of items, and in the quick version.
        goal: Smallest ratio wanted; 0 for none.
        tolerance: Largest difference between two answers.
    """

    name: str
    peer: str
    ours: Maker
    theirs: Maker
    items: tuple[int, int]
    goal: float = 0.0
    tolerance: float = 1e-2


@dataclass(frozen=True)
class Side:
    """Times and peak memory of one implementation, and the seconds of ``Job.least``."""

    seconds: Sequence[float]
    peak_bytes: int
    answers: Answers
    least: float | None

    def __str__(self) -> str:
        spread = f" ({min(self.seconds):.1f}–{max(self.seconds):.1f})" if len(self.seconds) > 1 else ""
        return f"{median(self.seconds):.1f} s{spread}"


@dataclass(frozen=True)
class Measured:
    """A comparison's result."""

    comparison: Comparison
    number: int
    ours: Side
    theirs: Side

    @property
    def row(self) -> str:
        """As a row of a Markdown table."""
        ratios = [theirs / ours for ours, theirs in zip(self.ours.seconds, self.theirs.seconds, strict=True)]
        farthest = max(abs(one - other) for one, other in zip(self.ours.answers, self.theirs.answers, strict=True))
        says = f"{farthest:.0e}" if farthest <= self.comparison.tolerance else f"**{farthest:.0e}**"
        goal = f"≥ {self.comparison.goal:g}×" if self.comparison.goal else "—"
        limit = f"{median(self.theirs.seconds) / self.ours.least:.1f}×" if self.ours.least else "—"
        memory = " | ".join(f"{side.peak_bytes / 1e9:.1f} GB" for side in (self.ours, self.theirs))
        return (
            f"| {self.comparison.name} | {self.number:,} | {self.comparison.peer} | {self.ours} | {self.theirs} "
            f"| {median(ratios):.1f}× | {goal} | {limit} | {memory} | {says} |"
        )


HEADER = """| what | answers | peer | ours | peer's | ratio | goal | limit | memory | peer's | max difference |
|:---|---:|:---|---:|---:|---:|---:|---:|---:|---:|---:|"""


def measure(comparison: Comparison, *, rounds: int, is_quick: bool) -> Measured:
    """Measure a comparison: each side warms up, then both take turns."""
    items = comparison.items[is_quick]
    with _side(comparison.ours, items) as ours, _side(comparison.theirs, items) as theirs:
        number = _received(ours)
        if _received(theirs) != number:
            raise SystemExit(f"{comparison.name}: the implementations do not answer the same questions")
        times: tuple[list[float], list[float]] = [], []
        for turn in range(rounds + 1):
            for side, taken in zip((ours, theirs), times, strict=True):
                side.send("run")
                seconds = _received(side)
                if turn:
                    taken.append(seconds)
        sides = []
        for side, taken in zip((ours, theirs), times, strict=True):
            side.send("end")
            sides.append(Side(taken, *_received(side)))
    return Measured(comparison, number, *sides)


def _received(side: Connection):  # type: ignore[no-untyped-def]  # noqa: ANN202
    answer = side.recv()
    if isinstance(answer, Exception):
        raise answer
    return answer


@contextlib.contextmanager
def _side(maker: Maker, items: int) -> Iterator[Connection]:
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    process = context.Process(target=_serve, args=(maker, items, there), daemon=True)
    process.start()
    try:
        yield here
    finally:
        here.close()
        process.join(10)
        process.terminate()


def _serve(maker: Maker, items: int, connection: Connection) -> None:
    try:
        with contextlib.redirect_stderr(io.StringIO()):
            job = maker(items)
            connection.send(job.number)
            answers: Answers = ()
            while connection.recv() == "run":
                start = time.perf_counter()
                answers = job.work()
                connection.send(time.perf_counter() - start)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        connection.send((peak, list(answers), job.least() if job.least else None))
    except EOFError:
        os._exit(1)
    except Exception:  # noqa: BLE001 - shown by the parent
        connection.send(RuntimeError(traceback.format_exc()))

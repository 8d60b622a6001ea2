"""Simulates a study of 100,000 cells on 1 to 256 workers that fail now and then; no model is loaded.

What hands out the cells is the real one (``executors/handing_out.py``). The time of a cell is drawn from those stored
in a run, times a factor that stands for a larger model; a worker loads the model when it starts, installs a variant for
each unit that it takes, and each request to hand out cells takes its turn. A worker is lost after an exponentially
distributed time, with its current cell; another one starts in its place after a delay.

    python benchmarks/scale.py RUN [--cells 100000] [--workers 1 4 16 64 256] [--factor 1] [--load 60] [--install 0]
        [--lost-after 0] [--whole]

Prints, for each number of workers, the time that passes, the speed-up over one worker without losses, its efficiency,
and where the rest of the workers' time went.
"""

from __future__ import annotations

import argparse
import heapq
import random
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import count
from types import SimpleNamespace
from typing import Any

import forgetmeter
from forgetmeter.executors import handing_out
from forgetmeter.executors.executor import CellUnit, Read
from forgetmeter.executors.handing_out import SHARE_READ, HandingOut
from forgetmeter.records.cell import Cell, Variant
from forgetmeter.specs.model_reference import parse_model_reference
from forgetmeter.specs.recipe import parse_recipe

HOUR = 3600.0


@dataclass(frozen=True)
class Setting:
    """What is simulated; times in seconds.

    Attributes:
        times: Those of cells of a variant, one per task, drawn together.
        variants: Number of variants.
        items: Number of items of each task.
        load: From the start of a worker to its first cell.
        install: To compress the model and to tokenize, for each unit.
        handing_out: For one request to hand out cells; requests wait for one another.
        lost_after: Mean time until a worker is lost; 0 for never.
        replaced_after: From a loss to the start of another worker.
    """

    times: list[dict[str, float]]
    variants: int
    items: dict[str, int]
    load: float
    install: float
    handing_out: float
    lost_after: float
    replaced_after: float = 60.0


@dataclass
class Spent:
    """Seconds of all workers, by what they were spent on."""

    scoring: float = 0.0
    loading: float = 0.0
    waiting: float = 0.0
    lost: float = 0.0
    losses: int = 0


def simulate(setting: Setting, workers: int, *, seed: int = 0) -> tuple[float, Spent]:
    """Return the time that passes, and what the workers' time was spent on."""
    simulation = _Simulation(setting, workers, random.Random(seed))
    simulation.run()
    return simulation.end, simulation.spent


class _Simulation:
    def __init__(self, setting: Setting, workers: int, dice: random.Random) -> None:
        self._setting, self._workers, self._dice = setting, workers, dice
        self.spent, self.end = Spent(), 0.0
        self._seconds: dict[Cell, float] = {}
        tasks = list(setting.times[0])
        model, recipe = parse_model_reference("org/model"), parse_recipe("l1_unstructured:overall:0.5")
        for place in range(setting.variants):
            drawn, variant = dice.choice(setting.times), Variant(str(place), model, recipe)
            self._seconds |= {Cell(variant, task): drawn[task] for task in tasks}
        items = {name: SimpleNamespace(items=[SimpleNamespace(asks=None)] * setting.items[name]) for name in tasks}
        work: Any = SimpleNamespace(cells=list(self._seconds), tasks=items, stop=None)
        self._units = HandingOut(work, workers)
        self._order = count()
        # When, a tie-break, when the worker will be lost, what it has taken last, and the cells left if it is lost now.
        self._events: list[tuple[float, int, float, CellUnit | None, list[Cell]]] = []
        self._idle: list[float] = []
        self._desk_is_free = 0.0

    def run(self) -> None:
        for _ in range(self._workers):
            self._start(0.0)
        while self._events:
            now, _, lost_at, taken, left = heapq.heappop(self._events)
            if taken is not None and left:
                self.spent.losses += 1
                self._units.put_back(taken, left)
                self._start(now + self._setting.replaced_after)
                self._wake(now)
                continue
            if taken is not None and taken.share is not None:
                self._units.note_report(SHARE_READ, (taken, Read()))
                self._wake(now)
            unit = self._units.next(())
            if unit is None:
                self._idle.append(lost_at)
            else:
                self._work(unit, now, lost_at)

    def _start(self, at: float) -> None:
        self.spent.loading += self._setting.load
        mean = self._setting.lost_after
        lost_after = self._dice.expovariate(1 / mean) if mean else float("inf")
        self._push(at + self._setting.load, at + lost_after)

    def _push(self, at: float, lost_at: float, taken: CellUnit | None = None, left: Sequence[Cell] = ()) -> None:
        heapq.heappush(self._events, (at, next(self._order), lost_at, taken, list(left)))

    def _wake(self, now: float) -> None:
        for lost_at in self._idle:
            self._push(now, lost_at)
        self._idle.clear()

    def _work(self, unit: CellUnit, now: float, lost_at: float) -> None:
        self._desk_is_free = max(now, self._desk_is_free) + self._setting.handing_out
        self.spent.waiting += self._desk_is_free - now
        now = self._desk_is_free + self._setting.install
        self.spent.loading += self._setting.install
        for place, cell in enumerate(unit.cells):
            parts = 1 if unit.share is None else unit.share[1]
            needed = self._seconds[cell] / parts if unit.read is None else 0.0
            if now + needed > lost_at:
                at = max(now, lost_at)
                self.spent.lost += at - now
                self._push(at, at, unit, unit.cells[place:])
                return
            now += needed
            self.spent.scoring += needed
            self.end = max(self.end, now)
        self._push(now, lost_at, unit)


def recorded(location: str, factor: float) -> tuple[list[dict[str, float]], dict[str, int]]:
    """Return the times of each variant of a run on each of its tasks, and the tasks' numbers of items."""
    times: dict[str, dict[str, float]] = {}
    items: dict[str, int] = {}
    for cell in forgetmeter.open_run(location).summary.cells:
        if cell.seconds is not None:
            times.setdefault(f"{cell.model} {cell.recipe}", {})[cell.task] = factor * cell.seconds
            items[cell.task] = cell.items
    most = max(map(len, times.values()))
    return [each for each in times.values() if len(each) == most], items


def main() -> None:
    """Simulate and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run")
    parser.add_argument("--cells", type=int, default=100_000)
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 4, 16, 64, 256])
    parser.add_argument("--factor", type=float, default=1.0, help="times the recorded seconds of a cell")
    parser.add_argument("--load", type=float, default=60.0, help="seconds to start a worker and load the model")
    parser.add_argument("--install", type=float, default=0.0, help="seconds to compress and to tokenize, per unit")
    parser.add_argument("--whole", action="store_true", help="do not split cells by batches")
    parser.add_argument("--handing-out", type=float, default=0.005, help="seconds of one request")
    parser.add_argument("--lost-after", type=float, default=0.0, help="hours until a worker is lost, on average")
    given = parser.parse_args()
    if given.whole:
        handing_out._MOST_SHARES = 1
    times, items = recorded(given.run, given.factor)
    variants = given.cells // len(times[0])
    setting = Setting(times, variants, items, given.load, given.install, given.handing_out, HOUR * given.lost_after)
    alone = sum(sum(each.values()) for each in times) / len(times) * variants
    print(f"{len(times[0]) * variants:,} cells of {alone / variants / len(times[0]):,.1f} s on average\n")
    print("| workers | hours | speed-up | efficiency | loading | waiting | lost | idle | workers lost |")
    print("|---:|---:|---:|---:|---:|---:|---:|---:|---:|")
    for workers in given.workers:
        passed, spent = simulate(setting, workers)
        whole = passed * workers
        known = (spent.loading, spent.waiting, spent.lost)
        idle = whole - sum(known) - spent.scoring
        shares = (f"{max(0.0, each) / whole:.1%}" for each in (*known, idle))
        speed_up = spent.scoring / passed
        print(
            f"| {workers} | {passed / HOUR:,.2f} | {speed_up:,.1f} | {speed_up / workers:.1%} | {' | '.join(shares)} | "
            f"{spent.losses:,} |"
        )


if __name__ == "__main__":
    main()

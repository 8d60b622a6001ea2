"""Simulates a study of 100,000 cells on 1 to 256 workers that fail now and then; no model is loaded.

What hands out the cells is the real one (``executors/handing_out.py``). The time of a cell is drawn from those stored
in a run, times a factor that stands for a larger model; a worker loads the model when it starts, and each request to
hand out cells takes its turn. A worker is lost after an exponentially distributed time, with its current cell; another
one starts in its place after a delay.

    python benchmarks/scale.py RUN [--cells 100000] [--workers 1 4 16 64 256] [--factor 1] [--load 60] [--lost-after 0]

Prints, for each number of workers, the time that passes, the speed-up over one worker without losses, its efficiency,
and where the rest of the workers' time went.
"""

from __future__ import annotations

import argparse
import heapq
import random
from dataclasses import dataclass
from itertools import count
from types import SimpleNamespace
from typing import Any

import forgetmeter
from forgetmeter.executors.handing_out import HandingOut
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
        load: From the start of a worker to its first cell.
        handing_out: For one request to hand out cells; requests wait for one another.
        lost_after: Mean time until a worker is lost; 0 for never.
        replaced_after: From a loss to the start of another worker.
    """

    times: list[dict[str, float]]
    variants: int
    load: float
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
    dice, spent, order = random.Random(seed), Spent(), count()
    tasks = list(setting.times[0])
    model, recipe = parse_model_reference("org/model"), parse_recipe("l1_unstructured:overall:0.5")
    seconds = {}
    for place in range(setting.variants):
        drawn, variant = dice.choice(setting.times), Variant(str(place), model, recipe)
        seconds |= {Cell(variant, task): drawn[task] for task in tasks}
    work: Any = SimpleNamespace(cells=list(seconds), evaluation=SimpleNamespace(precision=None))
    units = HandingOut(work, workers)
    # When, a tie-break, when the worker will be lost, and the cells that it had when it was.
    events: list[tuple[float, int, float, list[Cell]]] = []

    def start(at: float) -> None:
        spent.loading += setting.load
        heapq.heappush(events, (at + setting.load, next(order), at + _loss(setting, dice), []))

    for _ in range(workers):
        start(0.0)
    desk_is_free, end = 0.0, 0.0
    idle: list[float] = []
    while events:
        now, _, lost_at, left = heapq.heappop(events)
        if left:
            spent.losses += 1
            units.put_back(left)
            start(now + setting.replaced_after)
            for each in idle:
                heapq.heappush(events, (now, next(order), each, []))
            idle.clear()
            continue
        unit = units.next(())
        if unit is None:
            idle.append(lost_at)
            continue
        desk_is_free = max(now, desk_is_free) + setting.handing_out
        spent.waiting += desk_is_free - now
        now = desk_is_free
        for place, cell in enumerate(unit):
            if now + seconds[cell] > lost_at:
                at = max(now, lost_at)
                spent.lost += at - now
                heapq.heappush(events, (at, next(order), at, unit[place:]))
                break
            now += seconds[cell]
            spent.scoring += seconds[cell]
            end = max(end, now)
        else:
            heapq.heappush(events, (now, next(order), lost_at, []))
    return end, spent


def _loss(setting: Setting, dice: random.Random) -> float:
    return dice.expovariate(1 / setting.lost_after) if setting.lost_after else float("inf")


def recorded(location: str, factor: float) -> list[dict[str, float]]:
    """Return the times of each variant of a run on each of its tasks."""
    times: dict[str, dict[str, float]] = {}
    for cell in forgetmeter.open_run(location).run.cells:
        if cell.seconds is not None:
            times.setdefault(cell.variant, {})[cell.task] = factor * cell.seconds
    most = max(map(len, times.values()))
    return [each for each in times.values() if len(each) == most]


def main() -> None:
    """Simulate and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run")
    parser.add_argument("--cells", type=int, default=100_000)
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 4, 16, 64, 256])
    parser.add_argument("--factor", type=float, default=1.0, help="times the recorded seconds of a cell")
    parser.add_argument("--load", type=float, default=60.0, help="seconds to start a worker and load the model")
    parser.add_argument("--handing-out", type=float, default=0.005, help="seconds of one request")
    parser.add_argument("--lost-after", type=float, default=0.0, help="hours until a worker is lost, on average")
    given = parser.parse_args()
    times = recorded(given.run, given.factor)
    variants = given.cells // len(times[0])
    setting = Setting(times, variants, given.load, given.handing_out, HOUR * given.lost_after)
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

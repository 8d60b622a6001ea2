"""How often `forgetmeter gate` says PASS and FAIL, in simulations where the true loss is known.

    python benchmarks/gating.py [--runs 4000]

Three tables: at a true loss equal to the margin, where PASS and FAIL are both wrong; the same with several conditions
at once; and without any loss, with as many items as `gate --plan` asks for.
"""

from __future__ import annotations

import argparse
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from statistics import mean

import numpy as np
from coverage import Setting, simulated

from forgetmeter.results.compared.cell_summary import CellSummary
from forgetmeter.results.compared.comparison import compare_all
from forgetmeter.results.gate.check import POWER, GateCheck, GateVerdict, Measured, judge, worst
from forgetmeter.results.gate.resolution import design_effect
from forgetmeter.specs.condition import Condition, Quantity
from forgetmeter.statistics.paired import CONFIDENCE, Estimate
from forgetmeter.statistics.resolution import Expected

AT_THE_MARGIN = (
    Setting(300, 0, 0.6, 0.1, 0, 0.05),
    Setting(1000, 0, 0.6, 0.1, 0, 0.05),
    Setting(1000, 0, 0.9, 0.02, 0, 0.05),
    Setting(4000, 0, 0.6, 0.1, 0, 0.1),
    Setting(200, 5, 0.7, 0.2, 0.1),
    Setting(200, 5, 0.7, 0.1, 0.1),
    Setting(1000, 5, 0.5, 0.2, 0.1, 0.05, 0.2),
    Setting(400, 8, 0.5, 0.2, 0.1),
    Setting(800, 8, 0.4, 0.045, 0.03, 0.01, 0.15, equal=False),
    Setting(500, 10, 1.0, 0.1, 0.08),
    Setting(2683, 20, 0.8, 0.1, 0.08, 0.01, 0.15, equal=False),
    Setting(2000, 41, 0.5, 0.2, 0.15, 0.05, equal=False),
)
TOGETHER = (2, 5, 20)
"""Numbers of conditions, each on a task of its own."""
PLANNED = ((0.1, 0.05), (0.1, 0.02), (0.1, 0.01), (0.02, 0.01))
"""Flips and margins."""
PER_RELATION = 40
"""Items of each relation."""


def verdict(cells: Sequence[CellSummary], quantity: Quantity, limit: float, checks: int) -> GateVerdict:
    """Return the verdict on one condition; of two cells with intervals at both confidences of a gate."""
    estimates: list[Estimate] = [getattr(cell, quantity) for cell in cells]
    check = GateCheck(Condition(quantity, limit), "m", "r", "t", ("t",))
    return judge(check, limit, Measured(*estimates, 1 - (1 - CONFIDENCE) / checks, cells[0].items)).verdict


def drawn(setting: Setting, random: np.random.Generator, checks: int) -> list[CellSummary]:
    """Draw one run, and return its cell with intervals at both confidences."""
    answers = simulated(setting, random)
    cells = [compare_all(answers, confidence=1 - (1 - CONFIDENCE) / each)[1] for each in (1, checks)]
    return [cell for cell in cells if cell is not None]


def losses(setting: Setting) -> dict[Quantity, float]:
    """Return the true drop and retained share."""
    return {
        "drop": setting.knows * setting.forgets - (1 - setting.knows) * setting.gains,
        "retained": 1 - setting.forgets,
    }


def at_the_margin(runs: int) -> None:
    """Print how often each verdict is said where the true loss is the margin."""
    print("| items | relations | true drop | PASS | FAIL | true retained | PASS | FAIL |")
    print("|---:|---:|---:|---:|---:|---:|---:|---:|")
    for setting in AT_THE_MARGIN:
        random, truth = np.random.default_rng(0), losses(setting)
        said: dict[str, Counter[str]] = {"drop": Counter(), "retained": Counter()}
        for _ in range(runs):
            cells = drawn(setting, random, 1)
            for quantity, limit in truth.items():
                said[quantity][verdict(cells, quantity, limit, 1)] += 1
        drop, retained = ([f"{said[name][each] / runs:.1%}" for each in ("PASS", "FAIL")] for name in said)
        print(
            f"| {setting.items} | {setting.relations or '—'} | {truth['drop']:.1%} | {' | '.join(drop)} "
            f"| {truth['retained']:.1%} | {' | '.join(retained)} |",
            flush=True,
        )


def together(runs: int) -> None:
    """Print the same for several conditions at once, all of them at the margin."""
    print("\n| conditions | items of each | relations | PASS | FAIL |\n|---:|---:|---:|---:|---:|")
    for number in TOGETHER:
        for setting in (AT_THE_MARGIN[1], AT_THE_MARGIN[9]):
            random, limit = np.random.default_rng(0), losses(setting)["drop"]
            said = Counter(
                worst(verdict(drawn(setting, random, number), "drop", limit, number) for _ in range(number))
                for _ in range(runs // number)
            )
            shares = [f"{said[each] / said.total():.1%}" for each in ("PASS", "FAIL")]
            print(f"| {number} | {setting.items} | {setting.relations or '—'} | {' | '.join(shares)} |", flush=True)


def planned(runs: int) -> None:
    """Print how often a variant that loses nothing passes with the planned number of items."""
    print("\n| flips | relations | margin | items by --plan | PASS | FAIL |\n|---:|---:|---:|---:|---:|---:|")
    for flips, margin in PLANNED:
        items = Expected(flips).needed(margin, POWER)
        assert items is not None
        base = Setting(items, 0, 0.6, flips / 2 / 0.6, 0, flips / 2 / 0.4)
        _print_planned(base, margin, runs)
    for spread, margin in ((0.05, 0.05), (0.05, 0.03), (0.02, 0.02)):
        seen = Setting(20 * PER_RELATION, 20, 0.6, 0.05 / 0.6, spread, 0.05 / 0.4)
        items = Expected(0.1, _design_effect(seen), PER_RELATION).needed(margin, POWER)
        assert items is not None
        relations = math.ceil(items / PER_RELATION)
        _print_planned(replace(seen, items=relations * PER_RELATION, relations=relations), margin, runs)


def _design_effect(setting: Setting) -> float:
    """Return the mean of what variants of an earlier run show, as ``gate --plan`` takes it."""
    random = np.random.default_rng(1)
    cells = [drawn(setting, random, 1)[0] for _ in range(25)]
    return mean(design_effect(cell, cell.drop) for cell in cells if cell.drop is not None)


def _print_planned(setting: Setting, margin: float, runs: int) -> None:
    random = np.random.default_rng(0)
    said = Counter(verdict(drawn(setting, random, 1), "drop", margin, 1) for _ in range(runs))
    shares = [f"{said[each] / runs:.1%}" for each in ("PASS", "FAIL")]
    flips = setting.knows * setting.forgets + (1 - setting.knows) * setting.gains
    about = f"{flips:.0%} | {setting.relations or '—'} | {100 * margin:g} pt | {setting.items:,}"
    print(f"| {about} | {' | '.join(shares)} |", flush=True)


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=2000, help="simulated runs per row")
    runs = parser.parse_args().runs
    at_the_margin(runs)
    together(runs)
    planned(runs)


if __name__ == "__main__":
    main()

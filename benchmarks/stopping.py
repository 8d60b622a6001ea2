"""Counts the items, or relations, that are asked until enough is known about a drop (docs/decisions/036).

python benchmarks/stopping.py
"""

from __future__ import annotations

import argparse
from itertools import product
from statistics import median

import numpy as np

from forgetmeter.records.stop_rule import StopRule
from forgetmeter.statistics.anytime import Drawn, anytime_interval
from forgetmeter.statistics.paired import mean_of
from forgetmeter.statistics.stopping_rule import parts_of, rule_met

_DRAWS = 20
_MOST = 4000
_RUNS = 200
_FLIPS = 0.1
_CHECKS = 3
_TASKS = 40
_MEANS = 20


def needed(values: np.ndarray, precision: float, *, size: int = 1, step: int = 1) -> int:
    """Return the number of units after which the interval is at most ``precision`` wide to each side, on average."""
    for number in range(step, len(values) + 1, step):
        sums = values[:number]
        interval = anytime_interval(
            Drawn(sums, np.full(number, float(size)), low=-1, high=1, largest=size, aim=precision)
        )
        if (interval.high - interval.low) / 2 <= precision:
            return number
    return len(values)


def decided(values: np.ndarray, rule: StopRule) -> tuple[str, int]:
    """Return the verdict on single items by a rule with a margin, and the number of items that it took."""
    ids = [[str(item)] for item in range(len(values))]
    before, after = {str(item): bool(value > 0) for item, value in enumerate(values)}, dict[str, bool]()
    for part in parts_of([[item] for item in range(len(values))]):
        after |= {str(item): bool(values[item] < 0) for item in part}
        if met := rule_met(ids, before, after, asked=after, rule=rule):
            return ("FAIL" if met.checks else "PASS"), len(after)
    return "undecided", len(values)


def is_mean_below(seed: int) -> bool:
    """Return whether the interval of a mean over tasks that stopped at a margin is all below the true drop."""
    random, found = np.random.default_rng(seed), []
    for _ in range(_TASKS):
        values = random.choice([1.0, -1.0, 0.0], p=[0.035, 0.03, 0.935], size=_MOST)
        _, number = decided(values, StopRule(0.02, 0.02, _TASKS))
        found.append(anytime_interval(Drawn(values[:number], np.ones(number), low=-1, high=1, largest=1, aim=0.02)))
    return mean_of(found).high < 0.005


def main() -> None:
    """Print three tables, and why stopped tasks are not averaged."""
    argparse.ArgumentParser(description=__doc__).parse_args()
    print("| forgotten | gained | items until ±5 points: fewest | median | most | fixed sample |")
    print("|---:|---:|---:|---:|---:|---:|")
    for lost, won in ((0.046, 0.025), (0.07, 0.07), (0.2, 0.2)):
        drawn = [
            np.random.default_rng(seed).choice([1.0, -1.0, 0.0], p=[lost, won, 1 - lost - won], size=_MOST)
            for seed in range(_DRAWS)
        ]
        items = sorted(needed(values, 0.05, step=10) for values in drawn)
        fixed = round(1.96**2 * (lost + won - (lost - won) ** 2) / 0.05**2)
        print(f"| {lost:.1%} | {won:.1%} | {items[0]} | {items[_DRAWS // 2]} | {items[-1]} | {fixed} |")
    print("\n| margin | true drop | PASS | FAIL | undecided | items, median |\n|---:|---:|---:|---:|---:|---:|")
    for margin, drop in product((0.01, 0.02, 0.05), (0.0, None, 0.1, 0.2)):
        true = margin if drop is None else drop
        shares = [(_FLIPS + true) / 2, (_FLIPS - true) / 2] if true < _FLIPS else [true + 0.02, 0.02]
        found = [
            decided(
                np.random.default_rng(seed).choice([1.0, -1.0, 0.0], p=[*shares, 1 - sum(shares)], size=_MOST),
                StopRule(margin, margin, _CHECKS),
            )
            for seed in range(_RUNS)
        ]
        verdicts = [verdict for verdict, _ in found]
        rates = " | ".join(f"{verdicts.count(each) / _RUNS:.0%}" for each in ("PASS", "FAIL", "undecided"))
        print(f"| {100 * margin:g} pt | {100 * true:g} pt | {rates} | {median(items for _, items in found):,.0f} |")
    below = sum(map(is_mean_below, range(_MEANS)))
    print(
        f"\nA drop of 0.5 points in each of {_TASKS} tasks that stop at a margin of 2: the interval of their mean is "
        f"below it in {below} of {_MEANS} runs"
    )
    print("\n| precision | relations needed if none of them changes |\n|---:|---:|")
    for precision in (0.2, 0.1, 0.05):
        print(f"| {precision} | {needed(np.zeros(500), precision, size=50)} |")


if __name__ == "__main__":
    main()

"""Counts the items, or relations, that are asked until a drop is known precisely enough (docs/decisions/036).

python benchmarks/stopping.py
"""

from __future__ import annotations

import numpy as np

from forgetmeter.statistics.anytime import Drawn, anytime_interval

_DRAWS = 20
_MOST = 4000


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


def main() -> None:
    """Print two tables."""
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
    print("\n| precision | relations needed if none of them changes |\n|---:|---:|")
    for precision in (0.2, 0.1, 0.05):
        print(f"| {precision} | {needed(np.zeros(500), precision, size=50)} |")


if __name__ == "__main__":
    main()

"""Intervals and p-values that hold at every moment, in simulations of asking that stops when it likes."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from numpy.typing import NDArray

from forgetmeter.statistics.anytime import Drawn, anytime_interval, anytime_p_value

AIM = 0.05


def drops(values: NDArray[np.float64], *, aim: float = AIM) -> Drawn:
    """Return differences of single items."""
    return Drawn(values, np.ones(len(values)), low=-1, high=1, largest=1, aim=aim)


def draw(random: np.random.Generator, items: int, *, forgotten: float, gained: float) -> NDArray[np.float64]:
    return random.choice([1.0, -1.0, 0.0], p=[forgotten, gained, 1 - forgotten - gained], size=items)


def ever_excluded(drawn: Drawn, truth: float) -> bool:
    # The interval is the intersection of those of all earlier moments.
    interval = anytime_interval(drawn)
    return not interval.low <= truth <= interval.high


@pytest.mark.parametrize(("forgotten", "gained"), [(0.3, 0.2), (0.05, 0.05), (0.02, 0.0), (0.5, 0.4), (0.0, 0.001)])
def test_the_interval_contains_the_true_drop_at_all_times(forgotten: float, gained: float) -> None:
    random = np.random.default_rng(0)
    missed = [
        ever_excluded(drops(draw(random, 1000, forgotten=forgotten, gained=gained)), forgotten - gained)
        for _ in range(200)
    ]
    # 5% allowed; the standard error of the simulation is 1.5 points.
    assert np.mean(missed) <= 0.05 + 2 * 0.0155


def test_a_fixed_interval_would_not_hold_if_asking_may_stop() -> None:
    """The simulation can fail: a t interval, looked at after every tenth item, misses far more often."""
    random = np.random.default_rng(1)
    missed = []
    for _ in range(200):
        values = draw(random, 2000, forgotten=0.2, gained=0.2)
        numbers = np.arange(50, 2001, 10)
        means = np.cumsum(values)[numbers - 1] / numbers
        errors = np.sqrt(np.cumsum(values**2)[numbers - 1] / numbers - means**2) / np.sqrt(numbers)
        missed.append(bool((np.abs(means) > 1.96 * errors).any()))
    assert np.mean(missed) > 0.2


def test_the_interval_over_clusters_contains_the_true_ratio() -> None:
    random = np.random.default_rng(2)
    missed = []
    for _ in range(200):
        sizes = random.integers(5, 60, size=80).astype(float)
        rates = random.beta(1, 4, size=80)
        sums = random.binomial(sizes.astype(int), rates).astype(float)
        missed.append(ever_excluded(Drawn(sums, sizes, low=0, high=1, largest=60, aim=0.1), 0.2))
    assert np.mean(missed) <= 0.05 + 2 * 0.0155


def test_the_p_value_is_below_a_level_as_rarely_as_it_says() -> None:
    random = np.random.default_rng(3)
    values = [anytime_p_value(drops(draw(random, 1500, forgotten=0.15, gained=0.15)), 0.0) for _ in range(200)]
    assert np.mean(np.array(values) < 0.05) <= 0.05 + 2 * 0.0155
    assert anytime_p_value(drops(draw(random, 1500, forgotten=0.2, gained=0.05)), 0.0) < 1e-6


@pytest.mark.parametrize(("forgotten", "gained"), [(0.1, 0.05), (0.2, 0.2), (0.01, 0.01)])
def test_items_needed_are_at_most_three_times_those_of_a_fixed_sample(forgotten: float, gained: float) -> None:
    random = np.random.default_rng(4)
    variance = forgotten + gained - (forgotten - gained) ** 2
    fixed = max(1.96**2 * variance / AIM**2, 40)
    values = draw(random, 6000, forgotten=forgotten, gained=gained)

    def half_width(items: int) -> float:
        interval = anytime_interval(drops(values[:items]))
        return (interval.high - interval.low) / 2

    needed = next(items for items in range(20, 6001, 20) if half_width(items) <= AIM)
    assert needed <= 3 * fixed


def test_the_interval_only_shrinks() -> None:
    values = draw(np.random.default_rng(5), 500, forgotten=0.3, gained=0.1)
    intervals = [anytime_interval(drops(values[:items])) for items in range(0, 501, 25)]
    assert (intervals[0].low, intervals[0].high) == (-1, 1)
    for before, after in pairwise(intervals):
        assert after.low >= before.low - 1e-9
        assert after.high <= before.high + 1e-9


def test_the_interval_is_that_of_a_search_over_all_ratios() -> None:
    """A brute-force loop over a grid, one gambler per ratio."""
    values = draw(np.random.default_rng(6), 300, forgotten=0.3, gained=0.1)
    interval = anytime_interval(drops(values))
    kept = []
    for ratio in np.linspace(-0.9, 0.9, 1801):
        money = {1: 1.0, -1: 1.0}
        most = dict(money)
        total, squares = 0.0, 1.0
        for number, value in enumerate(values, start=1):
            seen = total / number
            for side, end in ((1, -1.0), (-1, 1.0)):
                share = min(AIM * number / squares * abs(seen - end), 0.9)
                money[side] *= 1 + share * side * (value - ratio) / abs(ratio - end)
                most[side] = max(most[side], money[side])
            squares += (value - seen) ** 2
            total += value
        if max(most.values()) < 40:
            kept.append(ratio)
    assert interval.low == pytest.approx(min(kept), abs=1.1e-3)
    assert interval.high == pytest.approx(max(kept), abs=1.1e-3)

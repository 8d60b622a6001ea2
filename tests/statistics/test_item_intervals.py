"""Intervals over items of weighted means and of quantiles, against a bootstrap and made-up populations."""

from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.typing import NDArray

from forgetmeter.statistics.clustered_proportion import share_interval
from forgetmeter.statistics.item_intervals import mean_interval, quantile_interval

ITEMS = 60


def texts(seed: int, items: int = ITEMS) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Return made-up values of tokens, alike within each text, and the index of each one's text."""
    random = np.random.default_rng(seed)
    owners = np.repeat(np.arange(items), random.integers(5, 80, items))
    return random.lognormal(random.normal(0, 0.5, items)[owners], 1.0), owners


def by_item(values: NDArray[np.float64], owners: NDArray[np.int64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    weights = np.bincount(owners).astype(np.float64)
    return np.bincount(owners, values) / weights, weights


def bootstrap(values: NDArray[np.float64], owners: NDArray[np.int64], statistic, draws: int = 1000) -> list[float]:
    random = np.random.default_rng(0)
    parts = [values[owners == item] for item in range(owners.max() + 1)]
    drawn = (random.integers(0, len(parts), len(parts)) for _ in range(draws))
    return [statistic(np.concatenate([parts[item] for item in items])) for items in drawn]


def test_the_interval_of_a_mean_is_about_that_of_a_bootstrap() -> None:
    values, owners = texts(1)
    found = mean_interval(*by_item(values, owners))
    assert found is not None
    assert found.value == pytest.approx(values.mean())
    low, high = np.quantile(bootstrap(values, owners, np.mean), [0.025, 0.975])
    width = high - low
    assert [found.low, found.high] == pytest.approx([low, high], abs=0.2 * width)


def test_the_interval_of_values_that_may_be_negative_is_not_cut_at_zero() -> None:
    values, weights = np.array([0.388, 0.116, 0.132, 0.141, 0.102]), np.ones(5)
    signed, unsigned = mean_interval(values, weights, is_signed=True), mean_interval(values, weights)
    assert signed is not None
    assert unsigned is not None
    assert signed.low == pytest.approx(2 * signed.value - signed.high)
    # It is the Student interval of five equal weights.
    assert signed.high - signed.value == pytest.approx(2.776 * values.std(ddof=1) / 5**0.5, rel=1e-3)
    assert signed.low > 0 or unsigned.low == 0
    lower = mean_interval(values - 0.1, weights, is_signed=True)
    assert lower is not None
    assert lower.low < 0


@pytest.mark.parametrize("quantile", [0.5, 0.9, 0.99])
def test_the_interval_of_a_quantile_is_about_that_of_a_bootstrap(quantile: float) -> None:
    values, owners = texts(2)
    found = quantile_interval(values, owners, quantile)
    assert found is not None
    assert found.value == np.quantile(values, quantile, method="inverted_cdf")
    drawn = bootstrap(values, owners, lambda each: np.quantile(each, quantile))
    low, high = np.quantile(drawn, [0.025, 0.975])
    # Of an extreme quantile, the upper percentile of a bootstrap is too small.
    assert [found.low, found.high] == pytest.approx([low, high], abs=0.45 * (high - low))


@pytest.mark.slow
def test_intervals_contain_the_truth_in_about_95_of_100_samples() -> None:
    everything, _ = texts(3, items=20_000)
    inside = {"mean": 0, "median": 0, "p90": 0}
    for seed in range(200):
        values, owners = texts(100 + seed)
        for name, found, truth in (
            ("mean", mean_interval(*by_item(values, owners)), everything.mean()),
            ("median", quantile_interval(values, owners, 0.5), np.median(everything)),
            ("p90", quantile_interval(values, owners, 0.9), np.quantile(everything, 0.9)),
        ):
            assert found is not None
            inside[name] += found.low <= truth <= found.high
    assert all(180 <= number <= 200 for number in inside.values()), inside


def test_a_share_has_the_interval_of_a_share() -> None:
    shares, weights = np.array([1.0, 0.5, 0.75, 1.0, 1.0]), np.array([4.0, 2.0, 8.0, 1.0, 3.0])
    assert mean_interval(shares, weights, is_share=True) == share_interval(shares * weights, weights)
    assert mean_interval(np.ones(5), weights, is_share=True).high == 1


def test_the_mean_of_what_is_never_negative_has_no_negative_limit() -> None:
    values = np.array([0.0, 0.0, 0.0, 0.0, 9.0])
    assert mean_interval(values, np.ones(5)).low == 0
    assert mean_interval(values - 1, np.ones(5)).low < -1


def test_too_few_items_or_infinite_values_have_no_interval() -> None:
    values, owners = np.arange(4.0), np.arange(4)
    assert mean_interval(values, np.ones(4)) is None
    assert quantile_interval(values, owners, 0.5) is None
    assert mean_interval(np.array([1, 2, 3, 4, np.inf]), np.ones(5)) is None


def test_an_extreme_quantile_of_few_values_has_no_upper_limit() -> None:
    values, owners = texts(4, items=6)
    found = quantile_interval(values, owners, 0.999)
    assert found.high == math.inf
    assert 0 < found.low <= found.value
    # With independent values, the largest is the limit as soon as 0.999**n is at most 2.5%.
    for number, limit in ((3687, math.inf), (3700, 3699.0)):
        alone = quantile_interval(np.arange(float(number)), np.arange(number), 0.999)
        assert alone.high == limit
    assert quantile_interval(np.arange(5.0), np.arange(5), 0.01).low == -math.inf


@pytest.mark.parametrize(("quantile", "number"), [(0.5, 40), (0.9, 100), (0.99, 600), (0.999, 6000)])
def test_each_limit_of_a_quantile_is_wrong_in_at_most_one_in_40_samples(quantile, number) -> None:
    random, runs = np.random.default_rng(0), 1500
    found = [quantile_interval(random.random(number), np.arange(number), quantile) for _ in range(runs)]
    assert sum(each.high < quantile for each in found) / runs <= 0.033
    assert sum(each.low > quantile for each in found) / runs <= 0.033

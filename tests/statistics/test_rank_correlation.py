"""Rank correlations against scipy, and the coverage of their intervals."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import rankdata, spearmanr

from forgetmeter.statistics.rank_correlation import rank_correlation


@pytest.mark.parametrize("seed", range(5))
def test_it_is_spearmans(seed) -> None:
    random = np.random.default_rng(seed)
    first = random.integers(0, 8, 30).astype(float)
    second = first + random.normal(0, 3, 30)
    found = rank_correlation(first, second)
    assert found is not None
    assert found.value == pytest.approx(spearmanr(first, second).statistic)
    assert -1 <= found.low <= found.value <= found.high <= 1


def test_what_a_third_quantity_explains_is_left_out() -> None:
    random = np.random.default_rng(0)
    size = random.normal(0, 1, 400)
    first, second = size + random.normal(0, 0.3, 400), size + random.normal(0, 0.3, 400)
    plain, given = rank_correlation(first, second), rank_correlation(first, second, given=size)
    assert plain is not None
    assert given is not None
    assert plain.low > 0.8
    assert given.low < 0.1
    # The usual formula for a partial correlation, of ranks.
    xy, xz, yz = (
        np.corrcoef(rankdata(a), rankdata(b))[0, 1] for a, b in ((first, second), (first, size), (second, size))
    )
    assert given.value == pytest.approx((xy - xz * yz) / np.sqrt((1 - xz**2) * (1 - yz**2)))


def test_too_few_or_constant_values_say_nothing() -> None:
    four = np.arange(4.0)
    assert rank_correlation(four, four) is None
    five = np.arange(5.0)
    assert rank_correlation(five, np.zeros(5)) is None
    assert rank_correlation(five, five, given=five) is None
    perfect = rank_correlation(five, five)
    assert perfect is not None
    assert (perfect.value, perfect.high) == pytest.approx((1.0, 1.0))
    assert perfect.low < 0.8


@pytest.mark.parametrize("strength", [0.0, 0.5, 0.85])
def test_intervals_cover_the_truth(strength) -> None:
    random = np.random.default_rng(1)

    def drawn(number):
        first = random.normal(0, 1, number)
        return first, strength * first + np.sqrt(1 - strength**2) * random.normal(0, 1, number)

    truth = 6 / np.pi * np.arcsin(strength / 2)
    found = [rank_correlation(*drawn(20)) for _ in range(1000)]
    covered = np.mean([each is not None and each.low <= truth <= each.high for each in found])
    assert covered >= 0.93

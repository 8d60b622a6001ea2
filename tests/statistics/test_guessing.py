"""Whether an accuracy differs from guessing, against exact sums."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from scipy.stats import binom

from forgetmeter.statistics.guessing import ChanceTest


def test_equal_chances_are_binomial() -> None:
    test = ChanceTest(np.full(50, 0.25))
    for right in (0, 5, 12, 13, 30, 50):
        tails = binom.cdf(right, 50, 0.25), binom.sf(right - 1, 50, 0.25)
        assert test.p_value(right) == pytest.approx(min(1, 2 * min(tails)))


def test_unequal_chances_match_a_sum_over_all_outcomes() -> None:
    chances = np.asarray([0.5, 0.5, 0.25, 0.2, 0.2, 1.0, 0.0, 0.1])
    density = np.zeros(len(chances) + 1)
    for outcome in product((0, 1), repeat=len(chances)):
        density[sum(outcome)] += np.prod(np.where(outcome, chances, 1 - chances))
    test = ChanceTest(chances)
    for right in range(len(density)):
        assert test.p_value(right) == pytest.approx(min(1, 2 * min(density[: right + 1].sum(), density[right:].sum())))


def test_many_items_are_close_to_the_exact_result() -> None:
    chances = np.repeat([0.04, 0.02, 0.5], 1600)
    exact = ChanceTest(chances)
    normal = ChanceTest(np.tile(chances, 2))
    assert exact.p_value(int(chances.sum())) > 0.9
    # Twice as many items at 1.41 times the distance have the same z-score.
    away = 2 * np.sqrt((chances * (1 - chances)).sum())
    one, other = exact.p_value(round(chances.sum() + away)), normal.p_value(round(2 * chances.sum() + away * 2**0.5))
    assert one == pytest.approx(other, rel=0.1)


@pytest.mark.parametrize(("chance", "right", "p_value"), [(1.0, 3, 1.0), (0.0, 0, 1.0), (1.0, 2, 0.0), (0.5, 3, 0.25)])
def test_certain_chances(chance: float, right: int, p_value: float) -> None:
    assert ChanceTest(np.full(3, chance)).p_value(right) == pytest.approx(p_value)

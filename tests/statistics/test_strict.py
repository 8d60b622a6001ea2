"""Intervals that keep their error: by enumerating all outcomes, against scipy and the definition."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binom, binomtest

from forgetmeter.statistics.item_intervals import mean_interval
from forgetmeter.statistics.paired import Estimate, paired_drop, proportion
from forgetmeter.statistics.strict import strict_drop, strict_mean, strict_proportion


@pytest.mark.parametrize("confidence", [0.95, 0.999])
@pytest.mark.parametrize(("count", "total"), [(0, 5), (5, 5), (1, 20), (50, 51), (300, 1000)])
def test_a_proportion_has_the_interval_of_clopper_and_pearson(count, total, confidence) -> None:
    found = strict_proportion(count, total, confidence=confidence)
    expected = binomtest(count, total).proportion_ci(confidence)
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high))
    assert found.value == count / total


def wrong(interval, items, margin, won):
    """Return the probabilities that the upper limit of a drop is within the margin, and that the lower is beyond."""
    lost = margin + won
    within = beyond = 0.0
    for forgotten in range(int(binom.isf(1e-7, items, lost)) + 1):
        rest = items - forgotten
        for gained in range(int(binom.isf(1e-7, rest, won / (1 - lost))) + 1 if won else 1):
            weight = binom.pmf(forgotten, items, lost) * (binom.pmf(gained, rest, won / (1 - lost)) if won else 1)
            found = interval(forgotten=forgotten, gained=gained, items=items, confidence=0.95)
            within += weight * (found.high <= margin)
            beyond += weight * (found.low > margin)
    return within, beyond


@pytest.mark.parametrize(
    ("items", "margin", "won"),
    [(20, 0.2, 0), (276, 0.01, 0), (590, 0.01, 0), (590, 0.01, 0.002), (1000, 0.02, 0.01), (400, 0.05, 0.05)],
)
def test_each_limit_of_a_drop_is_wrong_with_at_most_one_in_40(items, margin, won) -> None:
    assert max(wrong(strict_drop, items, margin, won)) <= 0.0251


def test_other_intervals_of_drops_and_proportions_do_not_keep_their_error() -> None:
    """Where nothing is gained, and near 100%."""
    assert wrong(paired_drop, 590, 0.01, 0)[0] > 0.05
    known, kept = 51, 0.98
    beyond = [proportion(count, known).high < kept for count in range(known + 1)]
    assert binom.pmf(np.arange(known + 1), known, kept)[beyond].sum() > 0.05


def test_a_drop_of_everything() -> None:
    found = strict_drop(forgotten=7, gained=0, items=7, confidence=0.95)
    assert (found.value, found.high) == (1, 1)
    assert 0.4 < found.low < 1
    nothing = strict_drop(forgotten=0, gained=0, items=276, confidence=0.95)
    assert nothing.high == pytest.approx(1 - 0.025 ** (1 / 276))
    assert nothing.low == -nothing.high


def test_the_mean_of_skewed_values_passes_in_at_most_one_in_20_samples() -> None:
    random, runs, true = np.random.default_rng(0), 1500, np.exp(0.5**2 / 2)
    found = [mean_interval(np.exp(random.normal(0, 0.5, 10)), np.ones(10)) for _ in range(runs)]
    assert sum(each.high < true for each in found) / runs > 0.055
    assert sum(strict_mean(each).high < true for each in found) / runs <= 0.055
    assert all(strict_mean(each).low == each.low for each in found)
    assert strict_mean(Estimate(0.0, 0.0, 0.0)) == Estimate(0.0, 0.0, 0.0)

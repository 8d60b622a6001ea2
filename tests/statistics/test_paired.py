"""Paired comparisons, against a loop, statsmodels and simulations."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import bootstrap
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.proportion import proportion_confint

from forgetmeter.statistics.paired import accuracy, compare_paired, paired_drop

PAIRS = st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=60)


@settings(deadline=None, max_examples=60)
@given(PAIRS)
def test_counts_equal_those_of_a_loop(pairs: list[tuple[bool, bool]]) -> None:
    before, after = ([pair[side] for pair in pairs] for side in (0, 1))
    result = compare_paired(before, after)
    known = [now for then, now in pairs if then]
    assert result.items == len(pairs)
    assert result.known == len(known)
    assert result.forgotten == known.count(False)
    assert result.gained == [now for then, now in pairs if not then].count(True)
    assert result.flips == sum(then != now for then, now in pairs) / len(pairs)
    assert result.drop.value == pytest.approx(np.mean(before) - np.mean(after))
    assert -1 <= result.drop.low <= result.drop.value <= result.drop.high <= 1
    assert result.prediction_flips is None
    if known:
        assert result.retained is not None
        assert result.retained.value == sum(known) / len(known)
        expected = proportion_confint(sum(known), len(known), method="wilson")
        assert (result.retained.low, result.retained.high) == pytest.approx(expected)
    else:
        assert result.retained is None


@settings(deadline=None, max_examples=60)
@given(PAIRS)
def test_p_value_equals_that_of_statsmodels(pairs: list[tuple[bool, bool]]) -> None:
    table = np.zeros((2, 2), dtype=int)
    for then, now in pairs:
        table[int(then), int(now)] += 1
    result = compare_paired(*zip(*pairs, strict=True))
    expected = mcnemar(table, exact=True).pvalue if table[0, 1] + table[1, 0] else 1.0
    assert result.p_value == pytest.approx(min(expected, 1.0))


@settings(deadline=None, max_examples=30)
@given(PAIRS)
def test_swapping_the_two_negates_the_drop(pairs: list[tuple[bool, bool]]) -> None:
    before, after = zip(*pairs, strict=True)
    one, other = compare_paired(before, after), compare_paired(after, before)
    assert one.drop.low == pytest.approx(-other.drop.high)
    assert one.p_value == pytest.approx(other.p_value)
    assert (one.forgotten, one.gained) == (other.gained, other.forgotten)


def test_interval_by_hand() -> None:
    # With counts 10 and 4 of 50, the adjusted shares are 11/52 and 5/52.
    drop = paired_drop(forgotten=10, gained=4, items=50)
    centre, variance = 6 / 52, (16 / 52 - (6 / 52) ** 2) / 52
    assert drop.value == 0.12
    assert drop.low == pytest.approx(centre - 1.959963984540054 * variance**0.5)
    assert drop.high == pytest.approx(centre + 1.959963984540054 * variance**0.5)


def test_nothing_changed() -> None:
    result = compare_paired([True] * 60 + [False] * 40, [True] * 60 + [False] * 40)
    assert result.drop.value == 0
    assert result.drop.low == pytest.approx(-result.drop.high)
    assert 0.02 < result.drop.high < 0.03
    assert (result.p_value, result.flips) == (1, 0)
    assert result.retained is not None
    assert (result.retained.value, result.retained.high) == (1, 1)


@pytest.mark.parametrize("answers", [([True], [False]), ([False], [True]), ([True], [True]), ([False], [False])])
def test_one_item(answers: tuple[list[bool], list[bool]]) -> None:
    result = compare_paired(*answers)
    assert result.p_value == 1
    assert result.drop.low < result.drop.high


def test_predictions_can_change_while_correctness_does_not() -> None:
    result = compare_paired([True, False, False], [True, False, True], predictions=(["a", "b", "c"], ["a", "c", "a"]))
    assert result.flips == pytest.approx(1 / 3)
    assert result.prediction_flips == pytest.approx(2 / 3)


@pytest.mark.parametrize("answers", [([], []), ([True], [True, False]), ([[True]], [[True]])])
def test_what_cannot_be_paired_is_an_error(answers: tuple[list[bool], list[bool]]) -> None:
    with pytest.raises(ValueError, match="item"):
        compare_paired(*answers)


def test_predictions_of_another_length_are_an_error() -> None:
    with pytest.raises(ValueError, match="different numbers"):
        compare_paired([True], [True], predictions=(["a"], []))


def test_accuracy() -> None:
    result = accuracy([True] * 30 + [False] * 70)
    assert result.value == 0.3
    assert (result.low, result.high) == pytest.approx(proportion_confint(30, 100, method="wilson"))
    with pytest.raises(ValueError, match="non-empty array"):
        accuracy([])


@pytest.mark.parametrize("items", [60, 300])
@pytest.mark.parametrize("shares", [(0.10, 0.05), (0.30, 0.10), (0.08, 0.08)])
def test_the_interval_covers_the_true_drop(items: int, shares: tuple[float, float]) -> None:
    lost, won = shares
    draws = np.random.default_rng(0).multinomial(items, [lost, won, 1 - lost - won], size=4000)
    unique, times = np.unique(draws[:, :2], axis=0, return_counts=True)
    covered = 0
    for (forgotten, gained), number in zip(unique.tolist(), times.tolist(), strict=True):
        drop = paired_drop(forgotten=forgotten, gained=gained, items=items)
        covered += number * (drop.low <= lost - won <= drop.high)
    assert 0.93 <= covered / len(draws) <= 0.97


def test_the_interval_is_close_to_a_bootstrap() -> None:
    random = np.random.default_rng(1)
    before = random.random(400) < 0.7
    after = np.where(random.random(400) < 0.2, random.random(400) < 0.5, before)
    result = compare_paired(before, after)
    differences = before.astype(float) - after.astype(float)
    resampled = bootstrap((differences,), np.mean, n_resamples=2000, method="percentile", rng=random)
    interval = resampled.confidence_interval
    assert (result.drop.low, result.drop.high) == pytest.approx((interval.low, interval.high), abs=0.006)

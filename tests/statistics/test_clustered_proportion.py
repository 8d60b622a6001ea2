"""Intervals of shares over clusters, against loops, scipy and statsmodels."""

from __future__ import annotations

import numpy as np
import pytest
import statsmodels.api
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest, norm, t, ttest_1samp
from statsmodels.stats.proportion import proportion_confint

from forgetmeter.statistics.clustered_proportion import (
    difference_interval,
    no_difference,
    ratio_over_clusters,
    share_interval,
)


def drawn(seed: int, clusters: int) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    members = random.integers(5, 60, clusters)
    return random.binomial(members, random.beta(2, 5, clusters)).astype(float), members.astype(float)


def test_the_standard_error_matches_the_jackknife() -> None:
    counts, members = drawn(0, 9)
    found = ratio_over_clusters(counts, members)
    without = [
        np.delete(counts, each).sum() / np.delete(members, each).sum() - counts.sum() / members.sum()
        for each in range(9)
    ]
    assert found.value == pytest.approx(counts.sum() / members.sum())
    assert found.influence == pytest.approx(-np.asarray(without))
    assert found.standard_error == pytest.approx(np.sqrt(8 / 9 * np.sum(np.square(without))))


def test_the_standard_error_is_close_to_statsmodels_robust_one() -> None:
    # The mean of 0 and 1 over items with cluster-robust standard errors: those of the linearised ratio.
    counts, members = drawn(1, 60)
    marks = np.concatenate([np.arange(number) < count for count, number in zip(counts, members, strict=True)])
    groups = np.repeat(np.arange(60), members.astype(int))
    fit = statsmodels.api.OLS(marks.astype(float), np.ones(len(marks))).fit(
        cov_type="cluster", cov_kwds={"groups": groups}
    )
    found = ratio_over_clusters(counts, members)
    assert found.value == pytest.approx(fit.params[0])
    assert found.standard_error == pytest.approx(fit.bse[0], rel=0.05)


def test_with_equal_clusters_the_p_value_matches_a_t_test() -> None:
    random = np.random.default_rng(2)
    lost, won = random.integers(0, 16, 12).astype(float), random.integers(0, 12, 12).astype(float)
    items = np.full(12, 30.0)
    assert ratio_over_clusters(lost - won, items).degrees_of_freedom == pytest.approx(11)
    assert no_difference(lost, won, items) == pytest.approx(ttest_1samp(lost - won, 0).pvalue)


def test_clusters_that_are_all_alike_prove_no_more_than_their_items() -> None:
    # One of four items lost in each of five relations: McNemar's test gives 0.0625.
    few = no_difference(np.ones(5), np.zeros(5), np.full(5, 4.0))
    assert 0.05 < few < 0.5
    assert no_difference(np.full(5, 20.0), np.zeros(5), np.full(5, 40.0)) < 0.001
    assert no_difference(np.zeros(5), np.zeros(5), np.full(5, 4.0)) == 1
    assert no_difference(np.ones(5), np.ones(5), np.full(5, 4.0)) == 1


def test_a_single_cluster_proves_nothing_about_others() -> None:
    assert no_difference(np.array([9.0, 0, 0]), np.zeros(3), np.array([10.0, 0, 0])) == 1


def test_unequal_clusters_count_as_fewer() -> None:
    found = ratio_over_clusters(np.array([3.0, 4, 5, 2]), np.array([10.0, 10, 10, 970]))
    assert found.degrees_of_freedom == 1
    assert ratio_over_clusters(*drawn(3, 10)).degrees_of_freedom < 9


def test_clusters_without_members_do_not_count() -> None:
    counts, members = drawn(4, 6)
    found = share_interval(np.append(counts, 0), np.append(members, 0))
    assert found == share_interval(counts, members)


def test_independent_items_have_clopper_and_pearsons_interval() -> None:
    # 40 equal clusters vary less than independent items would; the items then decide.
    found = share_interval(np.full(40, 3.0), np.full(40, 10.0))
    exact = binomtest(120, 400).proportion_ci(method="exact")
    assert (found.low, found.high) == pytest.approx((exact.low, exact.high))


def test_the_interval_is_statsmodels_for_the_effective_number_of_items() -> None:
    counts, members = drawn(7, 30)
    ratio, found = ratio_over_clusters(counts, members), share_interval(counts, members)
    spread = ratio.standard_error * t.ppf(0.975, ratio.degrees_of_freedom) / norm.ppf(0.975)
    effective = ratio.value * (1 - ratio.value) / spread**2
    assert effective < members.sum()
    expected = proportion_confint(ratio.value * effective, effective, method="beta")
    assert (found.low, found.high) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_intervals_of_none_and_all_have_a_width_and_contain_the_share(share: float) -> None:
    found = share_interval(np.full(6, 10 * share), np.full(6, 10.0))
    assert found.low <= share <= found.high
    assert 0.01 < found.high - found.low < 0.2


def test_a_share_of_one_cluster_says_less_of_others_than_one_of_two() -> None:
    alone, second = (share_interval(np.array([299.0, one]), np.array([300.0, one])) for one in (0, 1))
    assert alone.low < second.low < 0.9
    assert share_interval(np.array([150.0]), np.array([300.0])).high > 0.98


def test_a_single_cluster_and_a_single_item() -> None:
    assert share_interval(np.array([3.0]), np.array([10.0])).low < 0.3
    alone = difference_interval(np.array([1.0]), np.array([0.0]), np.array([1.0]))
    assert -1 <= alone.low <= alone.value == 1 <= alone.high


def test_with_a_second_share_of_zero_the_difference_is_nearly_the_first() -> None:
    counts, members = drawn(5, 20)
    members *= 100
    counts *= 100
    alone, found = share_interval(counts, members), difference_interval(counts, np.zeros(20), members)
    assert (found.value, found.low, found.high) == pytest.approx((alone.value, alone.low, alone.high), abs=2e-3)


def test_the_difference_is_as_uncertain_as_the_clusters_differences() -> None:
    # Many large clusters: a normal interval of the difference, whatever the correlation of the two shares.
    random = np.random.default_rng(6)
    items = np.full(400, 1000.0)
    place = random.random(400)
    for won in (250 * place, 250 * (1 - place), 250 * random.random(400)):
        lost = 200 + 300 * place
        found = difference_interval(lost, won, items)
        error = ratio_over_clusters(lost - won, items).standard_error
        assert (found.high - found.low) / 2 == pytest.approx(1.966 * error, rel=0.02)


@given(
    st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9), st.integers(0, 9)), min_size=1, max_size=8).filter(
        lambda each: any(sum(one) for one in each)
    )
)
def test_intervals_contain_their_value_and_are_symmetric(clusters: list[tuple[int, int, int]]) -> None:
    lost, won, same = (np.array(each, dtype=float) for each in zip(*clusters, strict=True))
    items = lost + won + same
    share, rest = share_interval(lost, items), share_interval(items - lost, items)
    assert 0 <= share.low <= share.value <= share.high <= 1
    assert (1 - rest.high, 1 - rest.low) == pytest.approx((share.low, share.high), abs=1e-9)
    one, other = difference_interval(lost, won, items), difference_interval(won, lost, items)
    assert one.low - 1e-12 <= one.value <= one.high + 1e-12
    assert (-other.high, -other.low) == pytest.approx((one.low, one.high))

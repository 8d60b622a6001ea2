"""Intervals of shares, and of differences of shares, where items come in clusters that are alike."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm, t
from statsmodels.stats.proportion import proportion_confint

from forgetmeter.statistics.paired import CONFIDENCE, Estimate

_TAIL = (1 - CONFIDENCE) / 2


@dataclass(frozen=True, eq=False)
class RatioOverClusters:
    """A ratio of sums over clusters, such as forgotten items by items, and how far each cluster pulls it.

    Attributes:
        value: Sum of the one by sum of the other.
        influence: By how much the ratio would be smaller without each cluster, of shape ``(clusters,)``.
        standard_error: By the jackknife over clusters (Bell and McCaffrey, "Bias reduction in standard errors for
            linear regression with multi-stage samples", Survey Methodology 28(2), 2002, 169-181: their variance that
            is never too small on average).
        degrees_of_freedom: One less than the effective number of clusters, which is that of so many equal ones as
            weigh what these do: the squared sum of their sizes by the sum of the squares (Kish, Survey Sampling,
            1965); at least 1.
    """

    value: float
    influence: NDArray[np.float64]
    standard_error: float
    degrees_of_freedom: float


def ratio_over_clusters(counts: NDArray[np.float64], members: NDArray[np.float64]) -> RatioOverClusters:
    """Divide one count by another over clusters.

    Args:
        counts: What is counted in each cluster, of shape ``(clusters,)``; may be negative.
        members: Of how many, likewise; not all zero. Clusters without any do not count.

    Returns:
        The ratio; of a single cluster its standard error is zero.
    """
    counts, members = counts[members > 0], members[members > 0]
    total, number = members.sum(), len(members)
    value = float(counts.sum() / total)
    if number == 1:
        return RatioOverClusters(value, np.zeros(1), 0.0, 1.0)
    influence = (counts - value * members) / (total - members)
    return RatioOverClusters(
        value=value,
        influence=influence,
        standard_error=float(np.sqrt((influence**2).sum() * (number - 1) / number)),
        degrees_of_freedom=max(float(total**2 / (members**2).sum()) - 1, 1.0),
    )


def share_interval(counts: NDArray[np.float64], members: NDArray[np.float64]) -> Estimate:
    """Return a share with its 95% interval over clusters.

    It is the interval of Korn and Graubard, "Confidence intervals for proportions with small expected number of
    positive counts estimated from survey data", Survey Methodology 24(2), 1998, 193-201: Clopper and Pearson's of the
    effective number of items, which is that of so many independent ones as would leave the share as uncertain as these
    clusters do by the t distribution's quantile; never more than there are.

    Args:
        counts: Marked items of each cluster, of shape ``(clusters,)``.
        members: All items of each; not all zero.
    """
    return _share_interval(ratio_over_clusters(counts, members), float(members.sum()))


def _share_interval(share: RatioOverClusters, items: float) -> Estimate:
    value = share.value
    spread = share.standard_error * t.ppf(_TAIL, share.degrees_of_freedom) / norm.ppf(_TAIL)
    effective = min(items, value * (1 - value) / spread**2) if spread else items
    low, high = proportion_confint(value * effective, effective, alpha=1 - CONFIDENCE, method="beta")
    # Rounding can leave none and all just outside.
    return Estimate(value, min(float(low), value), max(float(high), value))


def difference_interval(lost: NDArray[np.float64], won: NDArray[np.float64], items: NDArray[np.float64]) -> Estimate:
    """Return the difference of two shares of the same items with its 95% interval over clusters.

    The limits of both shares are put together by the "method of variance estimates recovery" with the correlation of
    the two over clusters (Zou and Donner, "Construction of confidence limits about effect measures: A general
    approach", Statistics in Medicine 27(10), 2008, 1693-1702).

    Args:
        lost: Items of the first share in each cluster, of shape ``(clusters,)``.
        won: Items of the second.
        items: All items of each; not all zero.
    """
    first, second = ratio_over_clusters(lost, items), ratio_over_clusters(won, items)
    total = float(items.sum())
    one, other = _share_interval(first, total), _share_interval(second, total)
    both = _correlation(first.influence, second.influence)
    return Estimate(
        one.value - other.value,
        one.value - other.value - _together(one.value - one.low, other.high - other.value, both),
        one.value - other.value + _together(one.high - one.value, other.value - other.low, both),
    )


def no_difference(lost: NDArray[np.float64], won: NDArray[np.float64], items: NDArray[np.float64]) -> float:
    """Return the p-value of a two-sided t test over clusters that two shares of the same items are equal.

    The standard error is that of the difference over clusters, and no smaller than it would be of independent items:
    clusters that happen to be all alike are no proof. Of fewer than two clusters nothing can be said: 1.

    Args:
        lost: Items of the first share in each cluster, of shape ``(clusters,)``.
        won: Items of the second.
        items: All items of each; not all zero.
    """
    difference = ratio_over_clusters(lost - won, items)
    if np.count_nonzero(items) < 2 or not difference.value:
        return 1.0
    total = items.sum()
    # As in the interval over items, one is added to both counts.
    first, second = (lost.sum() + 1) / (total + 2), (won.sum() + 1) / (total + 2)
    of_items = math.sqrt((first + second - (first - second) ** 2) / (total + 2))
    error = max(difference.standard_error, of_items)
    return float(2 * t.sf(abs(difference.value) / error, difference.degrees_of_freedom))


def _together(one: float, other: float, correlation: float) -> float:
    return math.sqrt(max(one**2 + other**2 - 2 * correlation * one * other, 0.0))


def _correlation(one: NDArray[np.float64], other: NDArray[np.float64]) -> float:
    size = float(np.sqrt((one**2).sum() * (other**2).sum()))
    return float((one * other).sum()) / size if size else 0.0

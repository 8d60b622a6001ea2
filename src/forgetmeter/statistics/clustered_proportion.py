"""Confidence intervals of proportions, and of their differences, for clustered items."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm, t

from forgetmeter.statistics.paired import CONFIDENCE, Estimate
from forgetmeter.statistics.strict import difference_of, share_limits


@dataclass(frozen=True, eq=False)
class RatioOverClusters:
    """A ratio of sums over clusters, such as forgotten items to all items, and the influence of each cluster.

    Attributes:
        value: The ratio of the two sums.
        influence: The ratio minus the ratio without the cluster, shape ``(clusters,)``.
        standard_error: Jackknife standard error over clusters (Bell and McCaffrey, "Bias reduction in standard errors
            for linear regression with multi-stage samples", Survey Methodology 28(2), 2002, 169-181: their variance
            estimate that is never too small on average).
        degrees_of_freedom: The effective number of clusters minus 1, but at least 1. The effective number is the
            squared sum of the cluster sizes divided by the sum of their squares (Kish, Survey Sampling, 1965).
    """

    value: float
    influence: NDArray[np.float64]
    standard_error: float
    degrees_of_freedom: float


def ratio_over_clusters(counts: NDArray[np.float64], members: NDArray[np.float64]) -> RatioOverClusters:
    """Return the ratio of two counts over clusters; with a single cluster, its standard error is zero.

    Args:
        counts: Numerator per cluster, shape ``(clusters,)``; may be negative.
        members: Denominator per cluster, same shape; not all zero. Clusters with zero members are ignored.
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


def share_interval(
    counts: NDArray[np.float64], members: NDArray[np.float64], *, confidence: float = CONFIDENCE
) -> Estimate:
    """Return a proportion with its interval over clusters, at 95% unless another confidence is given.

    Korn and Graubard, "Confidence intervals for proportions with small expected number of positive counts estimated
    from survey data", Survey Methodology 24(2), 1998, 193-201: the Clopper-Pearson interval for the effective number
    of items, the number of independent items that would give the same variance, adjusted by the t quantile and
    capped at the actual number.

    Args:
        counts: Marked items per cluster, shape ``(clusters,)``.
        members: All items per cluster; not all zero.
    """
    return _share_interval(ratio_over_clusters(counts, members), float(members.sum()), (1 - confidence) / 2)


def effective_items(share: RatioOverClusters, items: float, tail: float) -> float:
    """Return the number of independent items that would give a proportion's variance, adjusted by the t quantile.

    A single cluster shows no variance, and counts as one item.

    Args:
        share: The proportion.
        items: The actual number of items; the upper limit of the result.
        tail: Probability outside each limit of its interval.
    """
    if len(share.influence) == 1:
        return min(items, 1.0)
    spread = share.standard_error * t.ppf(tail, share.degrees_of_freedom) / norm.ppf(tail)
    return float(min(items, share.value * (1 - share.value) / spread**2)) if spread else items


def _share_interval(share: RatioOverClusters, items: float, tail: float) -> Estimate:
    value, effective = share.value, effective_items(share, items, tail)
    low, high = share_limits(value * effective, effective, tail)
    # At 0 and 1, rounding can leave the proportion just outside its interval.
    return Estimate(value, min(low, value), max(high, value))


def difference_interval(
    lost: NDArray[np.float64], won: NDArray[np.float64], items: NDArray[np.float64], *, confidence: float = CONFIDENCE
) -> Estimate:
    """Return the difference of two proportions of the same items with its interval over clusters.

    Combines the limits of both proportions as ``difference_of`` does, with their correlation over clusters.

    Args:
        lost: Items per cluster counted by the first proportion, shape ``(clusters,)``.
        won: Items per cluster counted by the second.
        items: All items per cluster; not all zero.
        confidence: Confidence level of the interval.
    """
    first, second = ratio_over_clusters(lost, items), ratio_over_clusters(won, items)
    total, tail = float(items.sum()), (1 - confidence) / 2
    one, other = _share_interval(first, total, tail), _share_interval(second, total, tail)
    return difference_of(one, other, _correlation(first.influence, second.influence))


def no_difference(lost: NDArray[np.float64], won: NDArray[np.float64], items: NDArray[np.float64]) -> float:
    """Return the p-value of a two-sided t test, over clusters, of two proportions of the same items being equal.

    The standard error is at least that of independent items: clusters that happen to be all alike prove nothing. The
    p-value is 1 if the proportions are equal or fewer than two clusters have items.

    Args:
        lost: Items per cluster counted by the first proportion, shape ``(clusters,)``.
        won: Items per cluster counted by the second.
        items: All items per cluster; not all zero.
    """
    difference = ratio_over_clusters(lost - won, items)
    if np.count_nonzero(items) < 2 or not difference.value:
        return 1.0
    total = items.sum()
    # Adds one to both counts, as the interval over items does.
    first, second = (lost.sum() + 1) / (total + 2), (won.sum() + 1) / (total + 2)
    of_items = math.sqrt((first + second - (first - second) ** 2) / (total + 2))
    error = max(difference.standard_error, of_items)
    return float(2 * t.sf(abs(difference.value) / error, difference.degrees_of_freedom))


def _correlation(one: NDArray[np.float64], other: NDArray[np.float64]) -> float:
    size = float(np.sqrt((one**2).sum() * (other**2).sum()))
    return float((one * other).sum()) / size if size else 0.0

"""Confidence intervals over items of what a task measures: weighted means and quantiles of tokens' values."""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right

import numpy as np
from numpy.typing import NDArray
from scipy.special import betainc
from scipy.stats import t

from forgetmeter.statistics.clustered_proportion import effective_items, ratio_over_clusters, share_interval
from forgetmeter.statistics.paired import CONFIDENCE, Estimate
from forgetmeter.statistics.resampling import FEWEST_CLUSTERS


def mean_interval(
    values: NDArray[np.float64],
    weights: NDArray[np.float64],
    *,
    is_share: bool = False,
    is_signed: bool = False,
    confidence: float = CONFIDENCE,
) -> Estimate | None:
    """Return a weighted mean over items with its interval; ``None`` for fewer than five items with a weight.

    The interval is that of ``share_interval`` for a share, else by Student's t with the jackknife's standard error over
    items.

    Args:
        values: Value of each item, shape ``(items,)``.
        weights: Its weight, same shape; for a share, the number of what it is a share of.
        is_share: Whether the values are shares from 0 to 1.
        is_signed: Whether values may be negative; if not, the interval is not either.
        confidence: Confidence level of the interval.
    """
    if not _is_enough(values, weights):
        return None
    if is_share:
        return share_interval(values * weights, weights, confidence=confidence)
    mean = ratio_over_clusters(values * weights, weights)
    half = float(t.isf((1 - confidence) / 2, mean.degrees_of_freedom)) * mean.standard_error
    low = mean.value - half
    return Estimate(mean.value, low if is_signed or (values < 0).any() else max(low, 0.0), mean.value + half)


def quantile_interval(
    values: NDArray[np.float64], items: NDArray[np.int64], quantile: float, *, confidence: float = CONFIDENCE
) -> Estimate | None:
    """Return a quantile of values with its interval over the items they belong to.

    Its limits are values, each of which is on the wrong side of the true quantile with at most half of the probability
    that the confidence leaves, by the binomial distribution of the number of values below it. As values of the same
    item are alike, they count as the effective number (see ``share_interval``) of the share that does not exceed the
    quantile.

    Args:
        values: The values of all items, shape ``(values,)``.
        items: Index of the item of each value, same shape.
        quantile: From 0 to 1.
        confidence: Confidence level of the interval.

    Returns:
        The estimate; ``None`` for fewer than five items. A limit is infinite if there are too few values for it: the
        upper one of the 99.9% quantile at 95% takes at least 3,688 independent values.
    """
    weights = np.bincount(items).astype(np.float64)
    if not _is_enough(values, weights):
        return None
    ordered, number, tail = np.sort(values), len(values), (1 - confidence) / 2
    value = _quantile(values, quantile)
    share = ratio_over_clusters(np.bincount(items, values <= value).astype(np.float64), weights)
    each = effective_items(share, number, tail) / number

    def is_below(place: int) -> float:
        """Return the probability that the value at a place in their order is below the quantile."""
        return float(betainc((place + 1) * each, (number - place - 1) * each + 1, quantile))

    def is_above(place: int) -> float:
        return 1 - float(betainc(place * each + 1, (number - place) * each, quantile))

    high = bisect_left(range(number), -tail, key=lambda place: -is_below(place))
    low = bisect_right(range(number), tail, key=is_above) - 1
    return Estimate(
        value,
        min(float(ordered[low]), value) if low >= 0 else -math.inf,
        max(float(ordered[high]), value) if high < number else math.inf,
    )


def _quantile(values: NDArray[np.float64], quantile: float) -> float:
    return float(np.quantile(values, quantile, method="inverted_cdf"))


def _is_enough(values: NDArray[np.float64], weights: NDArray[np.float64]) -> bool:
    return bool(np.isfinite(values).all() and np.count_nonzero(weights) >= FEWEST_CLUSTERS)

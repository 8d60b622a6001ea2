"""Confidence intervals over items of what a task measures: weighted means and quantiles of tokens' values."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.stats import t

from forgetmeter.statistics.clustered_proportion import ratio_over_clusters, share_interval
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
        confidence: That of the interval.
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

    The limits are the quantiles at the limits of the interval of the share of values that do not exceed the quantile
    (Woodruff, "Confidence intervals for medians and other position measures", JASA 47(260), 1952, 635-646).

    Args:
        values: The values of all items, shape ``(values,)``.
        items: Index of the item of each value, same shape.
        quantile: From 0 to 1.
        confidence: That of the interval.

    Returns:
        The estimate; ``None`` for fewer than five items. The largest value is the upper limit if the limit of the share
        lies above all values.
    """
    weights = np.bincount(items).astype(np.float64)
    if not _is_enough(values, weights):
        return None
    value = _quantile(values, quantile)
    shares = share_interval(np.bincount(items, values <= value).astype(np.float64), weights, confidence=confidence)
    low, high = (_quantile(values, min(max(share, 0.0), 1.0)) for share in (shares.low, shares.high))
    return Estimate(value, min(low, value), max(high, value))


def _quantile(values: NDArray[np.float64], quantile: float) -> float:
    return float(np.quantile(values, quantile, method="inverted_cdf"))


def _is_enough(values: NDArray[np.float64], weights: NDArray[np.float64]) -> bool:
    return bool(np.isfinite(values).all() and np.count_nonzero(weights) >= FEWEST_CLUSTERS)

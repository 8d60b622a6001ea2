"""Confidence intervals over items whose limits keep their error, however few items change.

Each limit is wrong with at most half of the probability that the confidence leaves. The intervals of ``paired`` are
right on average instead: near 0 and 1, one of their limits is wrong more often, and the other less.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from scipy.stats import beta

from forgetmeter.statistics.paired import Estimate


def share_limits(marked: float, items: float, tail: float) -> tuple[float, float]:
    """Return the limits of a proportion, each of which is wrong with a probability of at most ``tail``.

    Clopper and Pearson, "The use of confidence or fiducial limits illustrated in the case of the binomial", Biometrika
    26(4), 1934, 404-413.

    Args:
        marked: Number of items that are marked; an effective number may be a fraction.
        items: Number of items.
        tail: From 0 to 0.5.
    """
    low, high = limits_of_shares(np.asarray(marked), np.asarray(items), tail)
    return float(low), float(high)


def limits_of_shares(
    marked: NDArray[np.float64], items: NDArray[np.float64], tail: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the same for many proportions, of any common shape."""
    # Where a limit is 0 or 1, the distribution does not exist.
    low = np.where(marked > 0, beta.ppf(tail, marked, items - marked + 1), 0.0)
    return low, np.where(marked < items, beta.isf(tail, marked + 1, items - marked), 1.0)


def difference_of(one: Estimate, other: Estimate, correlation: float) -> Estimate:
    """Return the difference of two estimates, whose limits it combines.

    By the "method of variance estimates recovery" (Zou and Donner, "Construction of confidence limits about effect
    measures: A general approach", Statistics in Medicine 27(10), 2008, 1693-1702).
    """
    value = one.value - other.value
    return Estimate(
        value,
        value - float(together(one.value - one.low, other.high - other.value, correlation)),
        value + float(together(one.high - one.value, other.value - other.low, correlation)),
    )


def strict_proportion(count: int, total: int, *, confidence: float) -> Estimate:
    """Return a proportion with its Clopper-Pearson interval; ``total`` must be at least 1."""
    share = count / total
    low, high = share_limits(count, total, (1 - confidence) / 2)
    return Estimate(share, min(low, share), max(high, share))


def strict_drop(*, forgotten: float, gained: float, items: float, confidence: float) -> Estimate:
    """Return the difference of two paired proportions with its interval, from their Clopper-Pearson intervals.

    Every limit was found to keep its error by enumerating all outcomes (``tests/statistics/test_strict.py``).
    """
    lost, won = forgotten / items, gained / items
    tail = (1 - confidence) / 2
    one, other = (Estimate(each / items, *share_limits(each, items, tail)) for each in (forgotten, gained))
    found = difference_of(one, other, float(correlation_of_exclusive(lost, won)))
    return Estimate(found.value, max(found.low, -1.0), min(found.high, 1.0))


def strict_mean(usual: Estimate) -> Estimate:
    """Return a mean of positive values with the upper limit of the interval of its logarithm, which is higher.

    Such values are skewed, so that Student's interval ends too early. Where their logarithms vary by more than 0.5, so
    does this one (``benchmarks/gating.py``).

    Args:
        usual: The mean with Student's interval.
    """
    if usual.value <= 0:
        return usual
    return Estimate(usual.value, usual.low, usual.value * math.exp((usual.high - usual.value) / usual.value))


_Values = float | NDArray[np.float64]


def together(one: _Values, other: _Values, correlation: _Values) -> NDArray[np.float64]:
    """Return how far the interval of a difference extends, given the distances of two limits from their estimates."""
    return np.sqrt(np.maximum(np.square(one) + np.square(other) - 2 * correlation * one * other, 0.0))


def correlation_of_exclusive(one: _Values, other: _Values) -> NDArray[np.float64]:
    """Return the correlation of two events that exclude each other, given their probabilities."""
    room = np.asarray((1 - one) * (1 - other), dtype=np.float64)
    return -np.sqrt(np.divide(one * other, room, out=np.zeros_like(room), where=room > 0))

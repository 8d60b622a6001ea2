"""Spearman's rank correlation, plain and with a third quantity held equal, with intervals."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

from forgetmeter.statistics.paired import Estimate, normal_quantile

FEWEST = 5
"""Fewer pairs say too little about others."""


def rank_correlation(
    first: NDArray[np.float64], second: NDArray[np.float64], *, given: NDArray[np.float64] | None = None
) -> Estimate | None:
    """Return the rank correlation of two quantities with its 95% interval.

    The interval is by Fisher's transformation with Bonett and Wright's variance ("Sample size requirements for
    estimating Pearson, Kendall and Spearman correlations", Psychometrika 65(1), 2000, 23-28).

    Args:
        first: Values, shape ``(pairs,)``, finite.
        second: Values of the other quantity, same shape.
        given: A third quantity that is held equal: the correlation is then that of the residuals of ranks regressed on
            its ranks, and one degree of freedom less is left.

    Returns:
        The estimate; ``None`` for fewer than five pairs, or if a quantity does not vary.
    """
    pairs, fewer = len(first), 0 if given is None else 1
    if pairs - fewer < FEWEST:
        return None
    ranks = [rankdata(values) for values in (first, second)]
    if given is not None:
        others = rankdata(given)
        ranks = [_residuals(each, others) for each in ranks]
    spread = [float(np.sqrt((np.asarray(each - each.mean()) ** 2).sum())) for each in ranks]
    if min(spread) < 1e-9 * pairs:
        return None
    value = float(((ranks[0] - ranks[0].mean()) * (ranks[1] - ranks[1].mean())).sum() / (spread[0] * spread[1]))
    value = min(max(value, -1.0), 1.0)
    return Estimate(value, *_limits(value, pairs, fewer))


def _residuals(values: NDArray[np.float64], on: NDArray[np.float64]) -> NDArray[np.float64]:
    centred = on - on.mean()
    size = float((centred**2).sum())
    slope = float((centred * values).sum()) / size if size else 0.0
    residuals: NDArray[np.float64] = values - values.mean() - slope * centred
    return residuals


def _limits(value: float, pairs: int, fewer: int) -> tuple[float, float]:
    # A correlation of 1 has no finite transform; one exchanged pair of neighbours is the nearest that has.
    largest = 1 - 6 * 2 / (pairs * (pairs**2 - 1))
    middle = math.atanh(min(max(value, -largest), largest))
    half = normal_quantile() * math.sqrt((1 + value**2 / 2) / (pairs - fewer - 3))
    low, high = math.tanh(middle - half), math.tanh(middle + half)
    return min(low, value), max(high, value)

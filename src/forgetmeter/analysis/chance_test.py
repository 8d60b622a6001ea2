"""Whether answers are better or worse than guessing."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binom, norm

_MOST_EXACT = 5000


class ChanceTest:
    """Two-sided test that the right answers are as many as guessing gets.

    Their number is binomial where every item has as many choices, and Poisson-binomial elsewhere: computed exactly up
    to 5,000 items, beyond by a normal approximation with continuity correction.

    Args:
        chances: Probability that a guess is right, by item; without NaN.
    """

    def __init__(self, chances: NDArray[np.float64]) -> None:
        self._items = len(chances)
        self._mean = float(chances.sum())
        self._deviation = float(np.sqrt((chances * (1 - chances)).sum()))
        values, counts = np.unique(chances, return_counts=True)
        self._single = float(values[0]) if len(values) == 1 else None
        self._below: NDArray[np.float64] | None = None
        if self._single is None and self._items <= _MOST_EXACT:
            density = np.ones(1)
            for value, count in zip(values, counts, strict=True):
                density = np.convolve(density, binom.pmf(np.arange(count + 1), count, value))
            self._below = np.cumsum(density)

    def p_value(self, right: int) -> float:
        """Return the p-value of so many right answers: twice the smaller tail, 1 at most."""
        below = self._at_most(right)
        above = 1 - self._at_most(right - 1)
        return float(min(1.0, 2 * max(0.0, min(below, above))))

    def _at_most(self, right: int) -> float:
        if right < 0:
            return 0.0
        if self._single is not None:
            return float(binom.cdf(right, self._items, self._single))
        if self._below is not None:
            return float(self._below[min(right, self._items)])
        return float(norm.cdf((right + 0.5 - self._mean) / self._deviation)) if self._deviation else 1.0

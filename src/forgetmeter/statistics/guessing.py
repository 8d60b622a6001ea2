"""Whether answers are better or worse than guessing."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binom, norm

_MOST_EXACT = 5000


class ChanceTest:
    """Two-sided test of the number of right answers against guessing.

    That number is binomial if all items have equally many choices. Otherwise it is Poisson-binomial: exact for up to
    5,000 items, beyond that a normal approximation with continuity correction.

    Args:
        chances: Probability per item that a guess is right; no NaN.

    Attributes:
        expected: Expected share of right answers.
    """

    def __init__(self, chances: NDArray[np.float64]) -> None:
        self._items = len(chances)
        self._mean = float(chances.sum())
        self.expected = self._mean / self._items
        self._deviation = float(np.sqrt((chances * (1 - chances)).sum()))
        values, counts = np.unique(chances, return_counts=True)
        self._single = float(values[0]) if len(values) == 1 else None
        self._density: NDArray[np.float64] | None = None
        if self._single is None and self._items <= _MOST_EXACT:
            density = np.ones(1)
            for value, count in zip(values, counts, strict=True):
                density = np.convolve(density, binom.pmf(np.arange(count + 1), count, value))
            self._density = density

    def p_value(self, right: int) -> float:
        """Return the p-value of a number of right answers: twice the smaller tail, at most 1."""
        return float(min(1.0, 2 * min(self._tails(right))))

    def _tails(self, right: int) -> tuple[float, float]:
        """Return the probabilities of at most, and of at least, this many right answers."""
        if self._single is not None:
            return (
                float(binom.cdf(right, self._items, self._single)),
                float(binom.sf(right - 1, self._items, self._single)),
            )
        if self._density is not None:
            return float(self._density[: right + 1].sum()), float(self._density[right:].sum())
        # Chances that differ cannot all be 0 or 1, so the deviation is positive.
        below, above = (right + 0.5 - self._mean), (right - 0.5 - self._mean)
        return float(norm.cdf(below / self._deviation)), float(norm.sf(above / self._deviation))

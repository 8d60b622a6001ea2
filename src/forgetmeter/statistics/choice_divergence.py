"""Divergence of a variant's distribution over the choices from the baseline's."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


class ChoiceDistributions:
    """The baseline's distributions over the choices: for each item, the softmax of its choices' log-likelihoods.

    Items with a single stored value, such as those answered from the whole vocabulary, have no distribution.

    Args:
        loglikelihoods: The baseline's log-likelihoods, one item after the other.
        lengths: The number of choices per item, shape ``(items,)``; 0 if they were not stored.
    """

    def __init__(self, loglikelihoods: NDArray[np.float64], lengths: NDArray[np.int64]) -> None:
        self._lengths = lengths
        self.has_any = bool((self._lengths > 1).any()) and bool((self._lengths > 0).all())
        if self.has_any:
            self._starts = np.concatenate([[0], np.cumsum(self._lengths)[:-1]])
            self._values = loglikelihoods
            self._log_sums = self._log_sum(self._values)
            self._ruled_out = np.isneginf(loglikelihoods)
            self._shares = np.exp(self._values - np.repeat(self._log_sums, self._lengths))

    def divergence(self, loglikelihoods: NDArray[np.float64], lengths: NDArray[np.int64]) -> NDArray[np.float32] | None:
        """Return the Kullback-Leibler divergence of a variant's distributions from the baseline's, in nats.

        Args:
            loglikelihoods: The variant's log-likelihoods, for the same items in the same order.
            lengths: The number of choices per item.

        Returns:
            ``sum p log(p / q)`` per item, where ``p`` is the baseline's distribution; infinite if ``q`` rules out a
            choice that ``p`` does not, and NaN if an item has a single value or a NaN, or only choices that are ruled
            out. ``None`` if the choices differ.
        """
        if not self.has_any or not np.array_equal(lengths, self._lengths):
            return None
        with np.errstate(invalid="ignore"):
            terms = self._shares * (self._values - loglikelihoods)
            # A choice that the baseline rules out adds nothing: p log p is 0 at 0.
            terms[self._ruled_out & ~np.isnan(loglikelihoods)] = 0
            crossed = np.add.reduceat(terms, self._starts)
            divergence = crossed - self._log_sums + self._log_sum(loglikelihoods)
        divergence[self._lengths < 2] = np.nan
        # Rounding can make the divergence of equal distributions slightly negative.
        return np.maximum(divergence, 0).astype(np.float32)

    def _log_sum(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        with np.errstate(invalid="ignore", divide="ignore"):
            largest = np.maximum.reduceat(values, self._starts)
            sums = np.add.reduceat(np.exp(values - np.repeat(largest, self._lengths)), self._starts)
            return np.asarray(largest + np.log(sums))

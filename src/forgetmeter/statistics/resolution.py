"""What a number of items can resolve, before any is asked.

The formulas assume that nothing is lost: a compressed model then still answers some items differently, equally often
for better and for worse, so that the observed drop varies around zero.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import chi2, norm, t

from forgetmeter.statistics.paired import CONFIDENCE, paired_drop
from forgetmeter.statistics.strict import strict_drop

_MOST = 10**9
_ROUNDS = 4
_SHARES = (np.arange(200) + 0.5) / 200
"""Shares of the distribution over which powers are averaged."""


def t_quantile(relations: float, confidence: float = CONFIDENCE) -> float:
    """Return how many standard errors an interval over relations extends to each side."""
    return float(t.isf((1 - confidence) / 2, relations - 1))


@dataclass(frozen=True)
class Expected:
    """How answers are expected to change.

    Attributes:
        flips: Share of items whose correctness changes, either way.
        correlation: Correlation of the changes of two items of the same relation (intraclass correlation).
        sizes: Number of items of each relation, or a multiple of it; empty for intervals over items.
    """

    flips: float
    correlation: float = 0.0
    sizes: tuple[int, ...] = ()

    @property
    def relations(self) -> int:
        """Number of relations; 0 for intervals over items."""
        return len(self.sizes)

    def design_effect(self, items: int) -> float:
        """Return the variance of the drop over relations divided by that over independent items.

        Kish, Survey Sampling, 1965: it grows with the number of items in the relation of an average item.
        """
        if not self.sizes:
            return 1.0
        together = items * sum(size**2 for size in self.sizes) / sum(self.sizes) ** 2
        return 1 + self.correlation * max(together - 1, 0.0)

    def half_width(self, items: int) -> float:
        """Return how far the 95% interval of the drop extends above zero, as that of a gate."""
        over_items = self._above(items, 0.0)
        if not self.sizes:
            return over_items
        deviation = math.sqrt(self.design_effect(items) * self.flips / items)
        return max(over_items, t_quantile(self.relations) * deviation)

    def power(self, margin: float, items: int) -> float:
        """Return the probability that the whole 95% interval of the drop is within a margin."""
        # The largest drop that passes over items, from whose own interval it follows.
        largest = 0.0
        for _ in range(_ROUNDS):
            largest = margin - self._above(items, max(largest, 0.0))
        deviation = math.sqrt(self.design_effect(items) * self.flips / items)
        if not deviation:
            return float(largest >= 0)
        # Less half an item, as the number of changes is an integer.
        passing = np.full(1, largest - 0.5 / items)
        if self.sizes:
            # Over few relations, the width of the interval varies, too; the gate takes the wider of both intervals. As
            # it adds the variances of two shares, both estimated, it passes about as rarely as one over a relation less
            # (``benchmarks/gating.py``).
            free = self.relations - 2
            widths = deviation * np.sqrt(chi2.ppf(_SHARES, free) / free)
            passing = np.minimum(passing, margin - t_quantile(free + 1) * widths - 1 / items)
        return float(norm.cdf(passing / deviation).mean())

    def _above(self, items: int, drop: float) -> float:
        """Return how far an interval over items extends above the observed drop."""
        changed = items * self.flips
        forgotten = min((changed + items * drop) / 2, changed)
        about = {"forgotten": forgotten, "gained": changed - forgotten, "items": items, "confidence": CONFIDENCE}
        both = (interval(**about) for interval in (paired_drop, strict_drop))
        return max(each.high - each.value for each in both)

    def needed(self, margin: float, power: float) -> int | None:
        """Return the smallest number of items with this probability; ``None`` if none below 10^9 has it.

        With relations, these stay the same: as their items are alike, more of them can be worth no more.
        """
        low, high = 0, 1
        while self.power(margin, high) < power:
            low, high = high, 2 * high
            if high > _MOST:
                return None
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (low, middle) if self.power(margin, middle) >= power else (middle, high)
        return high


@dataclass(frozen=True)
class SeenCorrelation:
    """How alike the changes of two items of a relation were in an earlier run (intraclass correlation).

    Attributes:
        value: The ANOVA estimate, which can be below zero.
        variance: Variance of the estimate if the true correlation is zero; it falls as relations have more items.
    """

    value: float
    variance: float

    def shrunk(self, expected: float) -> float:
        """Return it shrunk towards the expected value, by its variance; from 0 to 1.

        Few items of each relation barely reveal a correlation of 0.01, which matters once many are asked. The prior
        standard deviation of a correlation is assumed to equal its expected value.
        """
        weight = expected**2 / (expected**2 + self.variance)
        return min(max(weight * self.value + (1 - weight) * expected, 0.0), 1.0)


def seen_correlation(changes: NDArray[np.float64], cluster: NDArray[np.int64]) -> SeenCorrelation | None:
    """Return the intraclass correlation of the changes of all variants together.

    Args:
        changes: Per item 1 if it was lost, -1 if gained, else 0; NaN if it was not asked; shape ``(variants, items)``.
        cluster: Per item, the index of its relation, shape ``(items,)``; items with a negative one do not count.

    Returns:
        ``None`` if nothing changed, or no relation has two items.
    """
    between = total = 0.0
    variance = math.inf
    for each in changes:
        asked = (cluster >= 0) & ~np.isnan(each)
        mine, groups = each[asked], np.unique(cluster[asked], return_inverse=True)[1]
        sizes = np.bincount(groups).astype(np.float64)
        items, relations = len(mine), len(sizes)
        if not 2 <= relations < items:
            continue
        explained = float((np.bincount(groups, mine) ** 2 / sizes).sum())
        among = (explained - float(mine.sum()) ** 2 / items) / (relations - 1)
        within = (float((mine**2).sum()) - explained) / (items - relations)
        size = (items - float((sizes**2).sum()) / items) / (relations - 1)
        between += among - within
        total += among + (size - 1) * within
        # Variants change much the same items, so that all of them say hardly more than one.
        variance = min(variance, 2 / (size * (size - 1) * (relations - 1)))
    return SeenCorrelation(between / total, variance) if total > 0 else None

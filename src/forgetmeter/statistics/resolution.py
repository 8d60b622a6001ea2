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
from forgetmeter.statistics.strict import correlation_of_exclusive, limits_of_shares, strict_drop, together

_MOST = 10**9
_ROUNDS = 4
_SHARES = (np.arange(50) + 0.5) / 50
"""Shares of the distribution of variances over relations, over which powers are averaged."""
_TOGETHER = 0.25
"""Correlation of the drop with the width of its interval over relations (``benchmarks/gating.py``)."""
_FREE, _WIDER = 0.7, 1.6
"""Degrees of freedom of the width for each relation but one, and how much wider than expected it is on average."""
_DOUBTS = norm.ppf((np.arange(9) + 0.5) / 9)
"""The same as ``_SHARES`` for the correlation, in standard deviations."""


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
        doubt: Standard deviation of the correlation, as far as it is known.
    """

    flips: float
    correlation: float = 0.0
    sizes: tuple[int, ...] = ()
    doubt: float = 0.0

    @property
    def relations(self) -> int:
        """Number of relations; 0 for intervals over items."""
        return len(self.sizes)

    def design_effect(self, items: int) -> float:
        """Return the variance of the drop over relations divided by that over independent items.

        Kish, Survey Sampling, 1965: it grows with the number of items in the relation of an average item.
        """
        return 1 + self.correlation * self._companions(items)

    def _companions(self, items: int) -> float:
        """Return the number of other items in the relation of an average item."""
        if not self.sizes:
            return 0.0
        return max(items * sum(size**2 for size in self.sizes) / sum(self.sizes) ** 2 - 1, 0.0)

    def half_width(self, items: int) -> float:
        """Return how far the 95% interval of the drop extends above zero, as that of a gate."""
        over_items = self._above(items, 0.0)
        if not self.sizes:
            return over_items
        over_relations = self._above_relations(items, np.zeros(1), np.full(1, self.design_effect(items)))
        return max(over_items, float(over_relations[0]))

    def power(self, margin: float, items: int) -> float:
        """Return the probability that the whole 95% interval of the drop is within a margin."""
        # The largest drop that passes, from whose own interval it follows.
        largest = 0.0
        for _ in range(_ROUNDS):
            largest = margin - self._above(items, max(largest, 0.0))
        if not self.flips:
            return float(largest >= 0)
        passing, designs = np.full(1, largest), np.ones(1)
        if self.sizes:
            # The correlation is known only roughly, and over few relations, the width of the interval varies, too. As
            # it combines two estimated shares, it is wider and varies more than that of one (``benchmarks/gating.py``).
            alike = np.clip(self.correlation + self.doubt * _DOUBTS, 0, 1)[:, None]
            designs, free = 1 + alike * self._companions(items), _FREE * (self.relations - 1)
            widened = designs * (1 + _WIDER / self.relations**1.5) ** 2 * chi2.ppf(_SHARES, free) / free
            over_relations = np.zeros_like(widened)
            for _ in range(_ROUNDS):
                over_relations = margin - self._above_relations(items, over_relations, widened)
            # The gate takes the wider of both intervals.
            passing = np.minimum(passing, over_relations)
        # Less half an item, as the number of changes is an integer.
        reached = (passing - 0.5 / items) / np.sqrt(designs * self.flips / items)
        if self.sizes:
            reached = (reached - _TOGETHER * norm.ppf(_SHARES)) / math.sqrt(1 - _TOGETHER**2)
        return float(norm.cdf(reached).mean())

    def _above(self, items: int, drop: float) -> float:
        """Return how far an interval over items extends above the observed drop."""
        changed = items * self.flips
        forgotten = min((changed + items * drop) / 2, changed)
        about = {"forgotten": forgotten, "gained": changed - forgotten, "items": items, "confidence": CONFIDENCE}
        both = (interval(**about) for interval in (paired_drop, strict_drop))
        return max(each.high - each.value for each in both)

    def _above_relations(
        self, items: int, drops: NDArray[np.float64], designs: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """Return how far intervals over relations extend above the observed drops, given their design effects.

        They combine Korn and Graubard's limits of two shares of which each item has at most one
        (``clustered_proportion.difference_interval``).
        """
        tail = (1 - CONFIDENCE) / 2
        wider = t_quantile(self.relations) / norm.isf(tail)
        # If hardly anything changes, relations seldom show how they differ: at least one item counts in each share.
        fewest = 2 / self.flips if self.flips else items
        effective = np.minimum(items, np.maximum(items / (designs * wider**2), fewest))
        lost, won = (np.clip((self.flips + sign * drops) / 2, 0, self.flips) for sign in (1, -1))
        _, highest = limits_of_shares(lost * effective, effective, tail)
        lowest, _ = limits_of_shares(won * effective, effective, tail)
        return together(highest - lost, won - lowest, correlation_of_exclusive(lost, won))

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
        size: Average number of items of a relation.
        relations: Number of relations.
    """

    value: float
    size: float
    relations: int

    def variance(self, correlation: float) -> float:
        """Return the variance of the estimate, given the true correlation (Fisher, 1925); less with more items."""
        each, spread = self.size, (1 - correlation) * (1 + (self.size - 1) * correlation)
        return 2 * spread**2 / (each * (each - 1) * (self.relations - 1))

    def shrunk(self, expected: float) -> float:
        """Return it shrunk towards the expected value, by its variance; from 0 to 1.

        Few items of each relation barely reveal a correlation of 0.01, which matters once many are asked. The prior
        standard deviation of a correlation is assumed to equal its expected value.
        """
        weight = expected**2 / (expected**2 + self.variance(expected))
        return min(max(weight * self.value + (1 - weight) * expected, 0.0), 1.0)

    def doubt(self, expected: float) -> float:
        """Return the standard deviation that is left after ``shrunk``."""
        variance = self.variance(expected)
        return expected * math.sqrt(variance / (expected**2 + variance))


def seen_correlation(changes: NDArray[np.float64], cluster: NDArray[np.int64]) -> SeenCorrelation | None:
    """Return the intraclass correlation of the changes of all variants together.

    Args:
        changes: Per item 1 if it was lost, -1 if gained, else 0; NaN if it was not asked; shape ``(variants, items)``.
        cluster: Per item, the index of its relation, shape ``(items,)``; items with a negative one do not count.

    Returns:
        ``None`` if nothing changed, or no relation has two items.
    """
    between = total = 0.0
    asked_of: list[tuple[float, int]] = []
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
        asked_of.append((size, relations))
    # Variants change much the same items, so that all of them say hardly more than one.
    return SeenCorrelation(between / total, *max(asked_of)) if total > 0 else None

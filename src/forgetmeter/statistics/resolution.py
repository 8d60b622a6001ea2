"""What a number of items can resolve, before any is asked.

The formulas assume that nothing is lost: a compressed model then still answers some items differently, equally often
for better and for worse, so that the observed drop varies around zero.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from scipy.stats import nct, norm, t

from forgetmeter.statistics.paired import CONFIDENCE, normal_quantile

_MOST = 10**9


def relations_quantile(relations: float) -> float:
    """Return how many standard errors a 95% interval over relations extends to each side."""
    return float(t.isf((1 - CONFIDENCE) / 2, relations - 1))


@dataclass(frozen=True)
class Expected:
    """How answers are expected to change.

    Attributes:
        flips: Share of items whose correctness changes, either way.
        design_effect: Variance of the drop over relations divided by that over independent items; 1 without relations.
        per_relation: Items of each relation, on average; ``None`` without relations.
    """

    flips: float
    design_effect: float = 1.0
    per_relation: float | None = None

    def half_width(self, items: int) -> float:
        """Return half the width of the 95% interval of the drop, as that of ``paired_drop``."""
        quantile = normal_quantile() if self.per_relation is None else relations_quantile(self._relations(items))
        return quantile * self._error(items)

    def power(self, margin: float, items: int) -> float:
        """Return the probability that the whole 95% interval of the drop is within a margin."""
        if self.per_relation is None:
            room, deviation = margin - self.half_width(items), math.sqrt(self.flips / items)
            return float(norm.cdf(room / deviation)) if deviation else float(room >= 0)
        # Over few relations, the width of the interval varies, too.
        relations = self._relations(items)
        return float(nct.sf(relations_quantile(relations), relations - 1, margin / self._error(items)))

    def _error(self, items: int) -> float:
        return math.sqrt(self.design_effect * (items * self.flips + 2)) / (items + 2)

    def _relations(self, items: int) -> float:
        return max(items / (self.per_relation or 1.0), 2.0)

    def needed(self, margin: float, power: float) -> int | None:
        """Return the smallest number of items with this probability; ``None`` if it is above 10^9."""
        low, high = 0, 1
        while self.power(margin, high) < power:
            low, high = high, 2 * high
            if high > _MOST:
                return None
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (low, middle) if self.power(margin, middle) >= power else (middle, high)
        return high

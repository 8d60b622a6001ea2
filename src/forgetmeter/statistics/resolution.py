"""What a number of items can resolve, before any is asked.

The formulas assume that nothing is lost: a compressed model then still answers some items differently, equally often
for better and for worse, so that the observed drop varies around zero.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from scipy.stats import norm

from forgetmeter.statistics.paired import normal_quantile

_MOST = 10**9


@dataclass(frozen=True)
class Expected:
    """How answers are expected to change.

    Attributes:
        flips: Share of items whose correctness changes, either way.
        design_effect: Variance of the drop over relations divided by that over independent items; 1 without relations.
    """

    flips: float
    design_effect: float = 1.0

    def half_width(self, items: int) -> float:
        """Return half the width of the 95% interval of the drop, as that of ``paired_drop``."""
        return normal_quantile() * math.sqrt(self.design_effect * (items * self.flips + 2)) / (items + 2)

    def power(self, margin: float, items: int) -> float:
        """Return the probability that the whole 95% interval of the drop is within a margin."""
        room = margin - self.half_width(items)
        deviation = math.sqrt(self.design_effect * self.flips / items)
        return float(norm.cdf(room / deviation)) if deviation else float(room >= 0)

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

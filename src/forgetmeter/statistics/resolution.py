"""What a number of items can resolve, before any is asked.

The formulas assume that nothing is lost: a compressed model then still answers some items differently, equally often
for better and for worse, so that the observed drop varies around zero.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from scipy.stats import nct, norm, t

from forgetmeter.statistics.paired import CONFIDENCE, normal_quantile, paired_drop
from forgetmeter.statistics.strict import strict_drop

_MOST = 10**9
_ROUNDS = 4


def t_quantile(relations: float, confidence: float = CONFIDENCE) -> float:
    """Return how many standard errors an interval over relations extends to each side."""
    return float(t.isf((1 - confidence) / 2, relations - 1))


@dataclass(frozen=True)
class Expected:
    """How answers are expected to change.

    Attributes:
        flips: Share of items whose correctness changes, either way.
        correlation: Correlation of the changes of two items of the same relation (intraclass correlation).
        relations: Number of relations that the items are spread over; ``None`` for intervals over items.
    """

    flips: float
    correlation: float = 0.0
    relations: int | None = None

    def design_effect(self, items: int) -> float:
        """Return the variance of the drop over relations divided by that over independent items.

        Kish, Survey Sampling, 1965: it grows with the number of items of each relation.
        """
        return 1.0 if self.relations is None else 1 + self.correlation * max(items / self.relations - 1, 0.0)

    def half_width(self, items: int) -> float:
        """Return how far the 95% interval of the drop extends above zero, as that of a gate."""
        return self._above(items, 0.0) if self.relations is None else t_quantile(self.relations) * self._error(items)

    def power(self, margin: float, items: int) -> float:
        """Return the probability that the whole 95% interval of the drop is within a margin."""
        if self.relations is not None:
            # Over few relations, the width of the interval varies, too.
            return float(nct.sf(t_quantile(self.relations), self.relations - 1, margin / self._error(items)))
        # The largest drop that passes, from whose own interval it follows.
        largest = 0.0
        for _ in range(_ROUNDS):
            largest = margin - self._above(items, max(largest, 0.0))
        deviation = math.sqrt(self.flips / items)
        # Less half an item, as the number of changes is an integer.
        return float(norm.cdf((largest - 0.5 / items) / deviation)) if deviation else float(largest >= 0)

    def _above(self, items: int, drop: float) -> float:
        """Return how far an interval over items extends above the observed drop."""
        changed = items * self.flips
        forgotten = min((changed + items * drop) / 2, changed)
        about = {"forgotten": forgotten, "gained": changed - forgotten, "items": items, "confidence": CONFIDENCE}
        both = (interval(**about) for interval in (paired_drop, strict_drop))
        return max(each.high - each.value for each in both)

    def _error(self, items: int) -> float:
        """Return the standard error over relations, as wide as it is over items where few change."""
        return math.sqrt(self.design_effect(items)) * self._above(items, 0.0) / normal_quantile()

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

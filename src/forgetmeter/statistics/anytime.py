"""Intervals and p-values that are valid at every point of a sequence, so that evaluation may stop at any.

Betting on the mean of bounded values: Waudby-Smith and Ramdas, "Estimating means of bounded random variables by
betting", Journal of the Royal Statistical Society B 86(1), 2024, 1-27. A gambler who bets against the true mean has a
probability of at most 1 in 40 of ever multiplying the stake by 40 (Ville's inequality). The interval consists of the
means against which neither of two gamblers, one for each direction, has multiplied the stake that much.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from forgetmeter.statistics.paired import CONFIDENCE, Estimate

_LARGEST_SHARE = 0.9
"""Largest share of the capital that a bet risks: if all of it were at risk, a single value could wipe it out."""
_STEPS = 40
"""Halvings of the range in the search for an end of an interval."""


@dataclass(frozen=True, eq=False)
class Drawn:
    """Units of a ratio in the order in which they were drawn: single items, or clusters of them.

    Attributes:
        sums: Numerator of each unit, shape ``(units,)``: between ``low`` and ``high`` times its size.
        sizes: Denominator of each unit, same shape, at least 0.
        low: The smallest ratio a unit can have.
        high: The largest.
        largest: The largest size of any unit that may be drawn.
        aim: Half-width at which evaluation will stop. Bets are tuned to reach it soon; the interval is valid for any.
    """

    sums: NDArray[np.float64]
    sizes: NDArray[np.float64]
    low: float
    high: float
    largest: float
    aim: float

    @property
    def value(self) -> float:
        """The ratio of the sums to the sizes; the middle of its range before anything is drawn."""
        total = float(self.sizes.sum())
        return float(self.sums.sum()) / total if total else (self.low + self.high) / 2


def anytime_interval(drawn: Drawn, *, confidence: float = CONFIDENCE) -> Estimate:
    """Return the ratio with an interval that contains the true one at all times with the probability ``confidence``."""
    up, down = _Bets(drawn, side=1), _Bets(drawn, side=-1)
    wealthy = math.log(2 / (1 - confidence))
    return Estimate(
        drawn.value,
        _boundary(drawn.low, drawn.value, lambda ratio: _most(up.gains(ratio)) >= wealthy),
        _boundary(drawn.high, drawn.value, lambda ratio: _most(down.gains(ratio)) >= wealthy),
    )


def anytime_p_value(drawn: Drawn, ratio: float) -> float:
    """Return a p-value, valid at all times, for the hypothesis that the true ratio is ``ratio``."""
    up, down = (_Bets(drawn, side=side).gains(ratio) for side in (1, -1))
    return math.exp(-_most(np.logaddexp(up, down) - math.log(2)))


class _Bets:
    """A gambler's bets that the ratio is higher, or lower, than a hypothesis; each depends on earlier units only.

    A bet of ``aim`` divided by the variance wins fastest against ratios at that distance. The share of the
    money at risk is the same for all hypotheses, so what refutes one refutes all beyond it.

    Args:
        side: 1 to bet that it is higher, -1 that it is lower.
    """

    def __init__(self, drawn: Drawn, *, side: int) -> None:
        self._drawn, self._side = drawn, side
        self._end = drawn.low if side == 1 else drawn.high
        middle, half = (drawn.low + drawn.high) / 2, (drawn.high - drawn.low) / 2
        # As if one of the largest units had been drawn before, half the range away from the middle.
        sizes = _before(drawn.sizes, drawn.largest)
        seen = _before(drawn.sums, middle * drawn.largest) / sizes
        squares = _before((drawn.sums - seen * drawn.sizes) ** 2, (half * drawn.largest) ** 2)
        room = np.abs(seen - self._end) * drawn.largest
        self._shares = np.minimum(drawn.aim * sizes / squares * room, _LARGEST_SHARE)

    def gains(self, ratio: float) -> NDArray[np.float64]:
        """Return the logarithm of the capital after each unit, shape ``(units,)``."""
        drawn, room = self._drawn, abs(ratio - self._end)
        if not room:
            return np.zeros(len(drawn.sums))
        won = self._side * (drawn.sums - ratio * drawn.sizes) / (drawn.largest * room)
        return np.cumsum(np.log1p(self._shares * won))


def _before(values: NDArray[np.float64], first: float) -> NDArray[np.float64]:
    """Return the sum of what came before each value, ``first`` included."""
    return first + np.cumsum(values) - values


def _most(gains: NDArray[np.float64]) -> float:
    return float(gains.max(initial=0.0))


def _boundary(refuted: float, kept: float, is_refuted: Callable[[float], bool]) -> float:
    """Return the last ratio that is refuted between one end of the range and the estimate, or that end if none is."""
    if not is_refuted(refuted + (kept - refuted) * 2.0**-_STEPS):
        return refuted
    for _ in range(_STEPS):
        middle = (refuted + kept) / 2
        refuted, kept = (middle, kept) if is_refuted(middle) else (refuted, middle)
    return refuted

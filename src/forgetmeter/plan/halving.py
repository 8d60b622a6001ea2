"""Finding the best of many with few questions: ask all a few, the better ones more, the best all."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

FACTOR = 3
"""By how many times fewer candidates are asked how many times more."""

FEWEST_ITEMS = 300
"""Fewer items than these tell candidates apart by luck alone."""

FINALISTS = 3
"""At least so many are asked everything, so that the best has something to be compared with."""


@dataclass(frozen=True)
class Round:
    """One round.

    Attributes:
        share: Of the items that each candidate is asked, above 0; 1 in the last round.
        candidates: How many take part.
    """

    share: float
    candidates: int


def halving_rounds(candidates: int, items: int) -> tuple[Round, ...]:
    """Plan rounds of successive halving.

    After Jamieson and Talwalkar, "Non-stochastic Best Arm Identification and Hyperparameter Optimization", AISTATS
    2016, here by thirds: every round costs about the same.

    Args:
        candidates: How many there are; at least 1.
        items: How many items there are in all.
    """
    numbers = [candidates]
    while numbers[-1] > FINALISTS and items / FACTOR ** len(numbers) >= FEWEST_ITEMS:
        numbers.append(max(FINALISTS, math.ceil(numbers[-1] / FACTOR)))
    return tuple(Round(1 / FACTOR ** (len(numbers) - place), number) for place, number in enumerate(numbers, 1))


def best(scores: Mapping[str, float], number: int) -> tuple[str, ...]:
    """Return the candidates of the highest scores, in the order in which they were given; ties go to the earlier."""
    order = sorted(scores, key=lambda each: -scores[each])
    kept = set(order[:number])
    return tuple(each for each in scores if each in kept)

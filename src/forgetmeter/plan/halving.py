"""Successive halving: evaluates all recipes on a share of the items, the better ones on more, and the best on all."""

from __future__ import annotations

import math
from dataclasses import dataclass

FACTOR = 3
"""Factor by which each round reduces the recipes and increases the items."""

FEWEST_ITEMS = 300
"""Minimum number of items per round; with fewer, differences between recipes are mostly noise."""

FINALISTS = 3
"""Minimum number of recipes in the last round, so that the best can be compared with others."""


@dataclass(frozen=True)
class Round:
    """One round.

    Attributes:
        share: Share of the items that each recipe is evaluated on, above 0; 1 in the last round.
        recipes: Number of recipes.
    """

    share: float
    recipes: int


def halving_rounds(recipes: int, items: int) -> tuple[Round, ...]:
    """Plan rounds of successive halving for at least one recipe.

    After Jamieson and Talwalkar, "Non-stochastic Best Arm Identification and Hyperparameter Optimization", AISTATS
    2016, here by thirds: every round costs about the same.
    """
    numbers = [recipes]
    while numbers[-1] > FINALISTS and items / FACTOR ** len(numbers) >= FEWEST_ITEMS:
        numbers.append(max(FINALISTS, math.ceil(numbers[-1] / FACTOR)))
    return tuple(Round(1 / FACTOR ** (len(numbers) - place), number) for place, number in enumerate(numbers, 1))

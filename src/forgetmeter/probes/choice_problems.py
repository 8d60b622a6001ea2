"""Reasons why an item with choices cannot be judged."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

NO_RIGHT_CHOICE = "right answer not among the choices"
NO_WRONG_CHOICE = "no choice is wrong"
BOTH_RIGHT_AND_WRONG = "right answer is also one of the wrong choices"


def choice_problem(gold: Sequence[int], choices: Sequence[str]) -> str | None:
    """Return why every answer would be judged right, or wrong, or decided by a tie; ``None`` if it would not.

    Args:
        gold: Indices of the right choices.
        choices: The choices as text.
    """
    if not gold:
        return NO_RIGHT_CHOICE
    if len(gold) == len(choices):
        return NO_WRONG_CHOICE
    right = Counter(choices[place] for place in gold)
    return BOTH_RIGHT_AND_WRONG if any(choices.count(text) > number for text, number in right.items()) else None

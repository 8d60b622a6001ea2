"""What every recipe forgot and gained, as indices of items, and which of it is kept where there is not room for all."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from forgetmeter.runs.content.answers import Answers
from forgetmeter.specs.recipe import BASELINE

Kind = Literal["forgotten", "gained"]


@dataclass(frozen=True, eq=False)
class Change:
    """Items that one recipe forgot, or gained.

    Attributes:
        answers: What its model did on the task.
        row: The recipe, as an index of ``answers.recipes``.
        kind: Which of the two.
        items: Indices of ``answers.items``, growing.
        total: How many there were before some were left out.
    """

    answers: Answers
    row: int
    kind: Kind
    items: NDArray[np.int64]
    total: int

    @property
    def recipe(self) -> str:
        """The recipe, as text."""
        return self.answers.recipes[self.row]


def changes_of(answers: Answers) -> list[Change]:
    """Return what each recipe of a model forgot of a task and what it gained, in the study's order."""
    found: list[Change] = []
    for row, recipe in enumerate(answers.recipes):
        if recipe == BASELINE or answers.baseline is None:
            continue
        both, right = answers.paired[row], answers.correct[row]
        forgotten = np.flatnonzero(both & answers.known & ~right)
        gained = np.flatnonzero(both & ~answers.known & right)
        found.append(Change(answers, row, "forgotten", forgotten, len(forgotten)))
        found.append(Change(answers, row, "gained", gained, len(gained)))
    return found


def most_of_each(sizes: Sequence[int], room: int) -> int:
    """Return the largest number such that so many of each, or all where there are fewer, fit; at least 1."""
    low, high = 1, max(sizes, default=1)
    while low < high:
        middle = (low + high + 1) // 2
        if sum(min(size, middle) for size in sizes) <= room:
            low = middle
        else:
            high = middle - 1
    return max(low, 1)


def surest(changes: Iterable[Change], most: int) -> list[Change]:
    """Keep at most so many items of each change: those that the baseline was surest of, right or wrong."""
    return [_surest(change, most) for change in changes]


def _surest(change: Change, most: int) -> Change:
    if len(change.items) <= most or change.answers.baseline is None:
        return change
    margin = np.nan_to_num(change.answers.margin[change.answers.baseline, change.items])
    # Of what was wrong, the baseline was surest where the right answer was furthest behind.
    order = np.argsort(-margin if change.kind == "forgotten" else margin, kind="stable")[:most]
    return replace(change, items=np.sort(change.items[order]))

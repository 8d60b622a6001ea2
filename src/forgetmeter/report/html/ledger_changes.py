"""Items that each recipe forgot and gained, and the selection of those that fit into the page."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from forgetmeter.runs.content.answers import Answers
from forgetmeter.specs.recipe import BASELINE

ChangeKind = Literal["forgotten", "gained"]


@dataclass(frozen=True, eq=False)
class Change:
    """Items that one recipe forgot, or gained.

    Attributes:
        answers: Outcomes of its model on the task.
        row: Index of the recipe in ``answers.recipes``.
        kind: Whether the items were forgotten or gained.
        items: Indices into ``answers.items``, ascending.
        total: Number of items before some were left out.
    """

    answers: Answers
    row: int
    kind: ChangeKind
    items: NDArray[np.int64]
    total: int

    @property
    def recipe(self) -> str:
        """The recipe, as text."""
        return self.answers.recipes[self.row]


def changes_of(answers: Answers) -> list[Change]:
    """Return the items of a task that each recipe of a model forgot and gained, in the study's order."""
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
    """Return the largest N, at least 1, such that up to N of each fit into ``room``."""
    low, high = 1, max(sizes, default=1)
    while low < high:
        middle = (low + high + 1) // 2
        if sum(min(size, middle) for size in sizes) <= room:
            low = middle
        else:
            high = middle - 1
    return max(low, 1)


def most_certain(changes: Iterable[Change], most: int) -> list[Change]:
    """Keep up to ``most`` items of each change: those of which the baseline was most confident, right or wrong."""
    return [_most_certain(change, most) for change in changes]


def _most_certain(change: Change, most: int) -> Change:
    if len(change.items) <= most or change.answers.baseline is None:
        return change
    margin = np.nan_to_num(change.answers.margin[change.answers.baseline, change.items])
    # For wrong answers, the most negative margin is the most confident.
    order = np.argsort(-margin if change.kind == "forgotten" else margin, kind="stable")[:most]
    return replace(change, items=np.sort(change.items[order]))

"""Forgotten share of each relation."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from forgetmeter.runs.content.answers import Answers


@dataclass(frozen=True, eq=False)
class RelationShares:
    """Share of each relation of a task that a model's variants forget.

    Attributes:
        relations: The relations, in the order of the items.
        recipes: The variants except the baseline, in the study's order.
        known: Number of items per relation that the baseline gets right, shape ``(relations,)``.
        forgotten: Share of these that a variant gets wrong, shape ``(recipes, relations)``; NaN if it answered none.
    """

    relations: tuple[str, ...]
    recipes: tuple[str, ...]
    known: NDArray[np.int64]
    forgotten: NDArray[np.float64]


def relation_shares(answers: Answers) -> RelationShares | None:
    """Return the shares of a task; ``None`` without relations or without a baseline."""
    if answers.baseline is None or not answers.relations:
        return None
    number = len(answers.relations)
    rows = [row for row in range(len(answers.recipes)) if row != answers.baseline]
    has_relation = answers.relation >= 0
    shares = np.full((len(rows), number), np.nan)
    for place, row in enumerate(rows):
        asked = answers.known & answers.paired[row] & has_relation
        known = np.bincount(answers.relation[asked], minlength=number)
        lost = np.bincount(answers.relation[asked & ~answers.correct[row]], minlength=number)
        np.divide(lost, known, out=shares[place], where=known > 0)
    return RelationShares(
        answers.relations,
        tuple(answers.recipes[row] for row in rows),
        np.bincount(answers.relation[answers.known & has_relation], minlength=number),
        shares,
    )

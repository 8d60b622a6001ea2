"""Comparison of variants with the baseline over clusters of items: the relations of a probe."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from forgetmeter.runs.content.answers import Answers
from forgetmeter.statistics.clustered_proportion import difference_interval, no_difference, share_interval
from forgetmeter.statistics.paired import CONFIDENCE, Estimate, accuracy, paired_drop
from forgetmeter.statistics.resampling import hull


@dataclass(frozen=True)
class Clustered:
    """A variant against the baseline, with relations as the sampling unit.

    Attributes:
        relations: Number of relations.
        drop: Accuracy of the baseline minus that of the variant.
        p_value: Two-sided t test over relations that the drop is zero; 1 if nothing changed.
        retained: Share of the known items that are still right; ``None`` if the baseline knew none.
        gained_share: Share of the other items that are right now; ``None`` if the baseline knew all.
    """

    relations: int
    drop: Estimate
    p_value: float
    retained: Estimate | None
    gained_share: Estimate | None


def compare_clustered(answers: Answers, *, confidence: float = CONFIDENCE) -> list[Clustered | None]:
    """Compare each variant with the baseline, with intervals at a confidence.

    Returns:
        One entry per variant; ``None`` without a baseline, or with fewer than five relations. An item without a
        relation counts as one of its own.
    """
    clusters = answers.clusters()
    if answers.baseline is None or clusters is None:
        return [None] * len(answers.recipes)
    paired, known = answers.paired, answers.known
    marks = (paired, paired & known, paired & known & ~answers.correct, paired & ~known & answers.correct)
    items, knows, forgotten, gained = map(clusters.totals, marks)
    return [
        _one(clusters.relations, items[row], knows[row], forgotten[row], gained[row], confidence)
        if paired[row].any()
        else None
        for row in range(len(answers.recipes))
    ]


def accuracy_interval(answers: Answers, row: int, asked: NDArray[np.bool_], *, confidence: float) -> Estimate:
    """Return a variant's share of right answers with its interval, over relations if there are at least five.

    Among the items that the baseline knows and the variant was asked, it is the retained share.

    Args:
        answers: The outcomes of a model and task.
        row: The variant.
        asked: The items that count, shape ``(items,)``; at least one.
        confidence: Confidence level of the interval.
    """
    right = answers.correct[row] & asked
    over_items = accuracy(right[asked], confidence=confidence)
    if (clusters := answers.clusters()) is None:
        return over_items
    counts, items = clusters.totals(np.stack([right, asked]))
    return hull(over_items, share_interval(counts, items, confidence=confidence))


def paired_difference(
    answers: Answers,
    *,
    lost: NDArray[np.bool_],
    won: NDArray[np.bool_],
    asked: NDArray[np.bool_],
    confidence: float = CONFIDENCE,
) -> Estimate:
    """Return the difference of two shares of the same items with its interval, as that of a run's drop.

    Args:
        answers: The outcomes of the items.
        lost: Items counted by the first share only, shape ``(items,)``.
        won: Items counted by the second share only.
        asked: All items of both shares; at least one.
        confidence: Confidence level of the interval.
    """
    over_items = paired_drop(
        forgotten=int(lost.sum()), gained=int(won.sum()), items=int(asked.sum()), confidence=confidence
    )
    if (clusters := answers.clusters()) is None:
        return over_items
    totals = clusters.totals(np.stack([lost, won, asked]))
    return hull(over_items, difference_interval(*totals, confidence=confidence))


def retained_difference(answers: Answers, one: int, two: int, asked: NDArray[np.bool_]) -> Estimate:
    """Return the share of known items that one variant retains minus that of another, as ``paired_difference`` does.

    Args:
        answers: The outcomes of the items.
        one: A variant.
        two: Another one.
        asked: Known items that both answered, shape ``(items,)``; at least one.
    """
    right, also = answers.correct[one], answers.correct[two]
    return paired_difference(answers, lost=asked & right & ~also, won=asked & ~right & also, asked=asked)


def _one(
    relations: int,
    items: NDArray[np.float64],
    known: NDArray[np.float64],
    forgotten: NDArray[np.float64],
    gained: NDArray[np.float64],
    confidence: float,
) -> Clustered:
    unknown = items - known
    return Clustered(
        relations=relations,
        drop=difference_interval(forgotten, gained, items, confidence=confidence),
        p_value=no_difference(forgotten, gained, items),
        retained=share_interval(known - forgotten, known, confidence=confidence) if known.any() else None,
        gained_share=share_interval(gained, unknown, confidence=confidence) if unknown.any() else None,
    )

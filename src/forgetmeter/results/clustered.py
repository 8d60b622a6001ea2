"""What changed between the baseline and its variants, with items that come in clusters: the relations of a probe."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from forgetmeter.runs.content.answers import Answers
from forgetmeter.statistics.clustered_proportion import difference_interval, no_difference, share_interval
from forgetmeter.statistics.paired import Estimate
from forgetmeter.statistics.resampling import FEWEST_CLUSTERS, totals_by_cluster


@dataclass(frozen=True)
class Clustered:
    """A variant against the baseline, with relations as what was drawn.

    Attributes:
        relations: How many there are.
        drop: Accuracy of the baseline minus that of the variant.
        p_value: Two-sided t test over relations that the drop is zero; 1 where nothing changed.
        retained: Share of what the baseline knew that is still known; ``None`` where it knew nothing.
        gained_share: Share of what it did not know that is known now; ``None`` where it knew everything.
    """

    relations: int
    drop: Estimate
    p_value: float
    retained: Estimate | None
    gained_share: Estimate | None


def compare_clustered(answers: Answers) -> list[Clustered | None]:
    """Compare each variant with the baseline.

    Returns:
        One a variant; ``None`` where its items have no relations, or fewer than five, or there is no baseline.
    """
    nothing: list[Clustered | None] = [None] * len(answers.recipes)
    if answers.baseline is None or (answers.relation < 0).any() or len(answers.relations) < FEWEST_CLUSTERS:
        return nothing
    paired, known = answers.paired, answers.known
    clusters = len(answers.relations)

    def totals(marks: NDArray[np.bool_]) -> NDArray[np.float64]:
        return totals_by_cluster(marks, answers.relation, clusters)

    items, knows = totals(paired), totals(paired & known)
    forgotten, gained = totals(paired & known & ~answers.correct), totals(paired & ~known & answers.correct)
    return [
        _one(items[row], knows[row], forgotten[row], gained[row]) if paired[row].any() else None
        for row in range(len(answers.recipes))
    ]


def _one(
    items: NDArray[np.float64], known: NDArray[np.float64], forgotten: NDArray[np.float64], gained: NDArray[np.float64]
) -> Clustered:
    unknown = items - known
    return Clustered(
        relations=len(items),
        drop=difference_interval(forgotten, gained, items),
        p_value=no_difference(forgotten, gained, items),
        retained=share_interval(known - forgotten, known) if known.any() else None,
        gained_share=share_interval(gained, unknown) if unknown.any() else None,
    )

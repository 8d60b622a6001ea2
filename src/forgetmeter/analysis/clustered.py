"""What changed between the baseline and its variants, with items that come in clusters: the relations of a probe."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import t

from forgetmeter.analysis.answers import Answers
from forgetmeter.analysis.paired import Estimate
from forgetmeter.analysis.resampling import (
    FEWEST_CLUSTERS,
    cluster_weights,
    expanded_interval,
    totals_by_cluster,
)


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

    counts = _Counts(
        items=totals(paired),
        known=totals(paired & known),
        forgotten=totals(paired & known & ~answers.correct),
        gained=totals(paired & ~known & answers.correct),
    )
    weights = cluster_weights(clusters)
    drawn = _Counts(*(weights @ each.T for each in (counts.items, counts.known, counts.forgotten, counts.gained)))
    return [_one(counts, drawn, row, clusters) if paired[row].any() else None for row in range(len(answers.recipes))]


@dataclass(frozen=True, eq=False)
class _Counts:
    """Numbers of items; of shape ``(variants, clusters)``, or, resampled, ``(resamples, variants)``."""

    items: NDArray[np.float64]
    known: NDArray[np.float64]
    forgotten: NDArray[np.float64]
    gained: NDArray[np.float64]


def _one(counts: _Counts, drawn: _Counts, row: int, clusters: int) -> Clustered:
    items, known = counts.items[row], counts.known[row]
    forgotten, gained = counts.forgotten[row], counts.gained[row]
    with np.errstate(invalid="ignore", divide="ignore"):
        drops = (drawn.forgotten[:, row] - drawn.gained[:, row]) / drawn.items[:, row]
        kept = 1 - drawn.forgotten[:, row] / drawn.known[:, row]
        won = drawn.gained[:, row] / (drawn.items[:, row] - drawn.known[:, row])
    drop = (forgotten - gained).sum() / items.sum()
    unknown = items - known
    return Clustered(
        relations=clusters,
        drop=expanded_interval(float(drop), drops, clusters=clusters),
        p_value=_t_test(forgotten - gained, items),
        retained=_share(kept, 1 - forgotten.sum() / known.sum(), known) if known.any() else None,
        gained_share=_share(won, gained.sum() / unknown.sum(), unknown) if unknown.any() else None,
    )


def _share(draws: NDArray[np.float64], value: float, members: NDArray[np.float64]) -> Estimate:
    # Relations without any such item cannot vary the share.
    clusters = int(np.count_nonzero(members))
    found = expanded_interval(float(value), draws, clusters=max(clusters, 2))
    return Estimate(found.value, max(found.low, 0.0), min(found.high, 1.0))


def _t_test(differences: NDArray[np.float64], items: NDArray[np.float64]) -> float:
    """Return the p-value that a ratio of sums over clusters is zero, by the linearised variance of the ratio."""
    clusters = len(items)
    mean = differences.sum() / items.sum()
    residuals = differences - mean * items
    variance = (residuals**2).sum() * clusters / (clusters - 1)
    if not differences.any():
        return 1.0
    if not variance:
        return 0.0
    return float(2 * t.sf(abs(differences.sum()) / np.sqrt(variance), clusters - 1))

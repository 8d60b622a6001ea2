"""What is retained of a task by all variants of a model at once, in resamples of its relations or items."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from forgetmeter.runs.content.answers import Answers
from forgetmeter.statistics.resampling import (
    FEWEST_CLUSTERS,
    RESAMPLES,
    SEED,
    cluster_weights,
    resampled_sums,
    totals_by_cluster,
)


@dataclass(frozen=True, eq=False)
class RetainedDraws:
    """What each variant retains, with the same in resamples.

    Attributes:
        recipes: One a variant.
        retained: Share of the known items that are still right, of shape ``(variants,)``; NaN where none is known.
        draws: The same in resamples, of shape ``(resamples, variants)``.
        clusters: How many relations were resampled; ``None`` where it was the items.
        known: How many items the baseline gets right.
    """

    recipes: tuple[str, ...]
    retained: NDArray[np.float64]
    draws: NDArray[np.float64]
    clusters: int | None
    known: int

    def contrast(self, coefficients: Mapping[str, float], constant: float = 0.0) -> tuple[float, NDArray[np.float64]]:
        """Return a weighted sum of what variants retain, and the same in resamples, of shape ``(resamples,)``.

        Args:
            coefficients: By recipe.
            constant: Is added to it.
        """
        places = [self.recipes.index(recipe) for recipe in coefficients]
        weights = np.asarray(list(coefficients.values()), dtype=np.float64)
        value = float(self.retained[places] @ weights) + constant
        return value, self.draws[:, places] @ weights + constant


def retained_draws(answers: Answers, *, resamples: int = RESAMPLES, seed: int = SEED) -> RetainedDraws:
    """Resample what each variant retains: over relations where there are enough, over the known items elsewhere."""
    known = answers.known
    paired = answers.paired[:, known]
    right = answers.correct[:, known] & paired
    number = int(known.sum())
    if not number:
        nothing = np.full(len(answers.recipes), np.nan)
        return RetainedDraws(answers.recipes, nothing, np.full((1, len(nothing)), np.nan), None, 0)
    clusters = knowing_clusters(answers)
    with np.errstate(invalid="ignore", divide="ignore"):
        retained = right.sum(axis=1) / paired.sum(axis=1)
        if clusters is None:
            draws = _over_items(right, paired, resamples, seed)
        else:
            cluster = np.unique(answers.relation[known], return_inverse=True)[1]
            weights = cluster_weights(clusters, resamples=resamples, seed=seed)
            draws = (weights @ totals_by_cluster(right, cluster, clusters).T) / (
                weights @ totals_by_cluster(paired, cluster, clusters).T
            )
    return RetainedDraws(answers.recipes, retained, draws, clusters, number)


def knowing_clusters(answers: Answers) -> int | None:
    """Return in how many relations the baseline knows anything; ``None`` where these are too few to resample."""
    of_known = answers.relation[answers.known]
    if (answers.relation < 0).any() or not len(of_known):
        return None
    number = len(np.unique(of_known))
    return number if number >= FEWEST_CLUSTERS else None


def _over_items(right: NDArray[np.bool_], paired: NDArray[np.bool_], resamples: int, seed: int) -> NDArray[np.float64]:
    sums = resampled_sums(right, resamples=resamples, seed=seed)
    # Most often all variants answered all items, and the number of items drawn is always the same.
    asked = paired.shape[1] if paired.all() else resampled_sums(paired, resamples=resamples, seed=seed)
    return sums / asked

"""Retained shares of all variants of a model, in shared resamples of a task's relations or items."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from forgetmeter.runs.content.answers import Answers
from forgetmeter.statistics.resampling import RESAMPLES, SEED, cluster_weights, resampled_sums


@dataclass(frozen=True, eq=False)
class RetainedDraws:
    """Retained share of each variant, and its bootstrap draws.

    Attributes:
        recipes: One per variant.
        retained: Share of the known items that are still right, shape ``(variants,)``; NaN if none is known.
        draws: The same in each resample, shape ``(resamples, variants)``.
        clusters: Number of resampled relations; ``None`` if items were resampled.
        known: Number of items that the baseline gets right.
    """

    recipes: tuple[str, ...]
    retained: NDArray[np.float64]
    draws: NDArray[np.float64]
    clusters: int | None
    known: int

    def contrast(self, coefficients: Mapping[str, float], constant: float = 0.0) -> tuple[float, NDArray[np.float64]]:
        """Return a weighted sum of retained shares plus a constant, and its draws, shape ``(resamples,)``.

        Args:
            coefficients: Weights by recipe.
        """
        places = [self.recipes.index(recipe) for recipe in coefficients]
        weights = np.asarray(list(coefficients.values()), dtype=np.float64)
        value = float(self.retained[places] @ weights) + constant
        return value, self.draws[:, places] @ weights + constant


def retained_draws(answers: Answers, *, resamples: int = RESAMPLES, seed: int = SEED) -> RetainedDraws:
    """Resample what each variant retains: over relations if there are enough, else over the known items."""
    known = answers.known
    paired = answers.paired[:, known]
    right = answers.correct[:, known] & paired
    number = int(known.sum())
    if not number:
        nothing = np.full(len(answers.recipes), np.nan)
        return RetainedDraws(answers.recipes, nothing, np.full((1, len(nothing)), np.nan), None, 0)
    clusters = answers.clusters(known)
    with np.errstate(invalid="ignore", divide="ignore"):
        retained = right.sum(axis=1) / paired.sum(axis=1)
        if clusters is None:
            draws = _over_items(right, paired, resamples, seed)
        else:
            weights = cluster_weights(clusters.number, resamples=resamples, seed=seed)
            draws = (weights @ clusters.totals(right).T) / (weights @ clusters.totals(paired).T)
    return RetainedDraws(answers.recipes, retained, draws, None if clusters is None else clusters.relations, number)


def _over_items(right: NDArray[np.bool_], paired: NDArray[np.bool_], resamples: int, seed: int) -> NDArray[np.float64]:
    sums = resampled_sums(right, resamples=resamples, seed=seed)
    # If all variants answered all items, as usual, the number of items drawn is constant.
    asked = paired.shape[1] if paired.all() else resampled_sums(paired, resamples=resamples, seed=seed)
    return sums / asked

"""Bootstrap over clusters of items, or over items if they have no clusters."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm, t

from forgetmeter.statistics.paired import CONFIDENCE, Estimate

RESAMPLES = 2000
SEED = 0
FEWEST_CLUSTERS = 5
"""Fewer relations say too little about what other relations would have shown."""

_CHUNK = 2_000_000


def totals_by_cluster(values: NDArray[np.bool_], cluster: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the number of marked items per cluster.

    Args:
        values: Marks, shape ``(variants, items)``.
        cluster: Cluster index of each item, from 0; every cluster has an item.

    Returns:
        Counts of shape ``(variants, clusters)``.
    """
    order = np.argsort(cluster, kind="stable")
    starts = np.searchsorted(cluster[order], np.arange(cluster.max() + 1))
    sums: NDArray[np.float64] = np.add.reduceat(values[:, order], starts, axis=1, dtype=np.float64)
    return sums


@lru_cache(maxsize=16)
def cluster_weights(clusters: int, *, resamples: int = RESAMPLES, seed: int = SEED) -> NDArray[np.float64]:
    """Return how often each resample draws each cluster, shape ``(resamples, clusters)``, read-only."""
    random = np.random.default_rng(seed)
    weights = random.multinomial(clusters, np.full(clusters, 1 / clusters), size=resamples).astype(np.float64)
    weights.setflags(write=False)
    return weights


def resampled_sums(values: NDArray[np.bool_], *, resamples: int = RESAMPLES, seed: int = SEED) -> NDArray[np.float64]:
    """Return the number of marked items in each resample of the items, shape ``(resamples, variants)``.

    Args:
        values: Marks, shape ``(variants, items)``.
    """
    items = values.shape[1]
    as_columns = np.ascontiguousarray(values.T, dtype=np.float32)
    parts = [weights @ as_columns for weights in _item_weights(items, resamples=resamples, seed=seed)]
    return np.concatenate(parts).astype(np.float64)


def _item_weights(items: int, *, resamples: int, seed: int) -> Iterator[NDArray[np.float32]]:
    random = np.random.default_rng(seed)
    # Chunks bound the memory that the counts take.
    at_a_time = max(1, _CHUNK // max(items, 1))
    for start in range(0, resamples, at_a_time):
        number = min(at_a_time, resamples - start)
        drawn = random.integers(0, items, size=(number, items), dtype=np.int64)
        drawn += np.arange(number)[:, None] * items
        counts = np.bincount(drawn.ravel(), minlength=number * items)
        yield counts.reshape(number, items).astype(np.float32)


def expanded_interval(value: float, draws: NDArray[np.float64], *, clusters: int | None) -> Estimate:
    """Return a value with its 95% bootstrap interval.

    Hesterberg's expanded percentile interval ("What Teachers Should Know About the Bootstrap", The American
    Statistician 69(4), 2015) widens the percentiles by the t distribution and by the factor by which the spread over
    few clusters is too small. With many clusters it equals the plain percentile interval.

    Args:
        draws: The same statistic of each resample; values that are not finite are ignored.
        clusters: Number of resampled units; ``None`` for the plain percentile interval.
    """
    sound = draws[np.isfinite(draws)]
    if not len(sound):
        return Estimate(value, value, value)
    tail = _tail(clusters)
    low, high = np.quantile(sound, [tail, 1 - tail])
    return Estimate(value, min(float(low), value), max(float(high), value))


@lru_cache(maxsize=256)
def _tail(clusters: int | None) -> float:
    tail = (1 - CONFIDENCE) / 2
    if clusters is None or clusters < 2:
        return tail
    return float(norm.cdf(np.sqrt(clusters / (clusters - 1)) * t.ppf(tail, clusters - 1)))


def hull(one: Estimate, other: Estimate) -> Estimate:
    """Return the value of ``one`` with the smallest interval that contains both intervals."""
    return Estimate(one.value, min(one.low, other.low), max(one.high, other.high))

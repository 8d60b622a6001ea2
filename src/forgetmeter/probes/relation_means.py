"""Means of per-item metrics: over all items, and over relations."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from math import fsum

MACRO = "_macro"


def relation_means(metrics: Iterable[tuple[str, Mapping[str, float]]]) -> dict[str, float]:
    """Return, for each metric, its mean over all items that have it and, as ``<name>_macro``, over relations.

    A relation's value is the mean over its items; relations none of whose items has the metric do not count.

    Args:
        metrics: For each item, its relation and its metrics by name.
    """
    values: dict[str, dict[str, list[float]]] = {}
    for relation, named in metrics:
        for name, value in named.items():
            values.setdefault(name, {}).setdefault(relation, []).append(value)
    means = {}
    for name, by_relation in values.items():
        lists = by_relation.values()
        means[name] = fsum(map(fsum, lists)) / sum(map(len, lists))
        means[f"{name}{MACRO}"] = fsum(fsum(one) / len(one) for one in lists) / len(by_relation)
    return means

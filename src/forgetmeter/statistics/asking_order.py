"""The order in which items are asked if asking may stop early: random, and the same for all variants."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b

from forgetmeter.statistics.resampling import FEWEST_CLUSTERS


def unit_keys(ids: Sequence[str], relations: Sequence[str | None]) -> list[str]:
    """Return the unit of each item: its relation if all items have one, of enough different ones, else its own id."""
    clusters = [relation for relation in relations if relation is not None]
    has_clusters = len(clusters) == len(relations) and len(set(clusters)) >= FEWEST_CLUSTERS
    return clusters if has_clusters else list(ids)


def units_in_order(keys: Sequence[str], *, seed: int) -> list[list[int]]:
    """Return the units of asking in a seeded order: for each, the places of its items.

    The place of a unit depends on its key and the seed alone, not on the other units.

    Args:
        keys: The unit of each item: its own id, or its relation.
        seed: Random seed.
    """
    units: dict[str, list[int]] = {}
    for place, key in enumerate(keys):
        units.setdefault(key, []).append(place)
    return [
        units[key]
        for key in sorted(units, key=lambda key: blake2b(f"{seed} {key}".encode(errors="surrogatepass")).digest())
    ]

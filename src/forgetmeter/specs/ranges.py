"""Index ranges along an axis of a parameter."""

from __future__ import annotations

from collections.abc import Iterable

Ranges = tuple[tuple[int, int], ...]
"""Half-open index ranges, ascending, neither overlapping nor adjacent."""


def merged(ranges: Iterable[tuple[int, int]]) -> Ranges:
    """Sort non-overlapping ranges and join adjacent ones."""
    found: list[tuple[int, int]] = []
    for start, stop in sorted(ranges):
        if found and found[-1][1] == start:
            found[-1] = (found[-1][0], stop)
        else:
            found.append((start, stop))
    return tuple(found)


def count(ranges: Ranges) -> int:
    """Return the number of indices."""
    return sum(stop - start for start, stop in ranges)


def without(length: int, taken: Iterable[Ranges]) -> Ranges:
    """Return the indices in ``[0, length)`` that are in none of ``taken``, whose ranges must not overlap."""
    free: list[tuple[int, int]] = []
    start = 0
    for first, last in merged(piece for ranges in taken for piece in ranges):
        if start < first:
            free.append((start, first))
        start = last
    return merged([*free, (start, length)] if start < length else free)

"""Ranges of layers."""

from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from forgetmeter.specs.ranges import Ranges, count, merged, without


def indices(ranges: Ranges) -> list[int]:
    return [index for start, stop in ranges for index in range(start, stop)]


@given(st.sets(st.integers(0, 30)), st.integers(1, 4))
def test_ranges_are_their_indices(chosen: set[int], length: int) -> None:
    pieces = [(at * length, at * length + length) for at in chosen]
    ranges = merged(pieces)
    assert indices(ranges) == [index for piece in sorted(pieces) for index in range(*piece)]
    assert count(ranges) == len(chosen) * length
    assert all(stop < start for (_, stop), (start, _) in itertools.pairwise(ranges))
    assert indices(without(31 * length, [ranges])) == sorted(set(range(31 * length)) - set(indices(ranges)))


def test_without_takes_several() -> None:
    assert without(10, [((0, 2), (6, 8)), ((2, 3),)]) == ((3, 6), (8, 10))
    assert without(10, [((0, 10),)]) == ()

"""Sequences that share prefixes, packed into rows.

Covers ``scoring.rows.batch``.
"""

from __future__ import annotations

from itertools import product

from hypothesis import given, settings
from hypothesis import strategies as st

from forgetmeter.scoring.batch_invariance.limits import Sharing
from forgetmeter.scoring.rows.batch import ROOT, TokenRow
from forgetmeter.scoring.rows.prefix_tree import _OVERHEAD, Packed, WantedSequence, group_rows, pack


@st.composite
def wanted(draw: st.DrawFn) -> list[WantedSequence]:
    """Generate sequences over a tiny alphabet, so that prefixes and whole sequences often coincide."""
    many = draw(st.lists(st.lists(st.integers(0, 2), min_size=2, max_size=9), min_size=1, max_size=12))
    return [
        WantedSequence(
            tuple(ids),
            draw(st.integers(1, len(ids) - 1)),
            ranks_vocabulary=draw(st.booleans()),
            context=draw(st.integers(0, 1)),
        )
        for ids in many
    ]


def seen_by_slot(packed: Packed, *, vocabulary: bool) -> dict[int, tuple[int, tuple[int, ...], int]]:
    """Return the context, the tokens seen and the target of each slot, by the definition of a row."""
    found = {}
    for row in packed.rows:
        parents = row.parents or tuple(range(ROOT, len(row.tokens) - 1))
        for reading in row.vocabulary if vocabulary else row.readings:
            seen, place = [], reading.place
            while place != ROOT:
                assert parents[place] < place
                seen.append(row.tokens[place])
                place = parents[place]
            assert reading.slot not in found
            found[reading.slot] = (row.context, tuple(reversed(seen)), reading.target)
    return found


@given(wanted(), st.integers(0, 20), st.integers(0, 20))
@settings(deadline=None)
def test_every_token_is_read_after_exactly_its_own_prefix(some: list[WantedSequence], longest: int, mixed: int) -> None:
    packed = pack(some, sharing=Sharing(branches=min(longest, mixed), lengths=mixed))
    single, whole = (seen_by_slot(packed, vocabulary=each) for each in (False, True))
    for sequence, path in zip(some, packed.paths, strict=True):
        slots = whole if sequence.ranks_vocabulary else single
        first = len(sequence.tokens) - 1 if sequence.ranks_vocabulary else sequence.start
        expected = [
            (sequence.context, sequence.tokens[:place], sequence.tokens[place])
            for place in range(first, len(sequence.tokens))
        ]
        assert [slots[slot] for slot in path] == expected
    assert all(len(row.tokens) <= longest for row in packed.rows if row.branched)
    long = {
        (is_whole, reading.slot): len(row.tokens)
        for row in packed.rows
        for is_whole, readings in ((False, row.readings), (True, row.vocabulary))
        for reading in readings
        if len(row.tokens) > mixed
    }
    for sequence, path in zip(some, packed.paths, strict=True):
        inputs = len(sequence.tokens) - 1
        assert {long.get((sequence.ranks_vocabulary, slot), inputs) for slot in path} == {inputs}


def test_shared_prefixes_are_read_once() -> None:
    (row,) = pack(
        [WantedSequence((1, 2, 3, 4, 9), 4), WantedSequence((1, 2, 3, 5, 6, 9), 4)], sharing=Sharing(branches=99)
    ).rows
    assert row.tokens == (1, 2, 3, 4, 5, 6)
    assert row.parents == (ROOT, 0, 1, 2, 2, 4)
    assert [(reading.place, reading.target) for reading in row.readings] == [(3, 9), (4, 6), (5, 9)]


def test_sequences_that_differ_only_in_the_last_token_make_one_plain_row() -> None:
    (row,) = pack([WantedSequence((1, 2, 8), 2), WantedSequence((1, 2, 9), 2)], sharing=Sharing()).rows
    assert (row.tokens, row.branched, len(row.readings)) == ((1, 2), False, 2)


def test_sequences_that_share_little_get_separate_rows() -> None:
    some = [WantedSequence((0, *[first] * 9), 1) for first in (1, 2)]
    assert len(pack(some, sharing=Sharing(branches=99)).rows) == 2


@given(st.lists(st.tuples(st.integers(1, 30), st.booleans()), max_size=20), st.integers(1, 64))
@settings(deadline=None)
def test_batches_hold_every_row_once_and_keep_to_the_budget(shapes: list[tuple[int, bool]], budget: int) -> None:
    rows = [TokenRow((0,) * n, tuple(range(-1, n - 1)) if branched else ()) for n, branched in shapes]
    grouped = list(group_rows(rows, batch_tokens=budget, sharing=Sharing()))
    assert sorted(map(id, rows)) == sorted(id(row) for batch in grouped for row in batch)
    for batch in grouped:
        assert len({row.branched for row in batch}) == 1
        assert len(batch) == 1 or len(batch) * max(len(row.tokens) for row in batch) <= budget


@given(
    st.lists(st.tuples(st.integers(1, 30), st.booleans()), min_size=1, max_size=8),
    st.integers(0, 30),
    st.integers(0, 30),
)
@settings(deadline=None)
def test_no_other_batches_cost_less(shapes: list[tuple[int, bool]], mixed: int, equal: int) -> None:
    rows = [TokenRow((0,) * n, tuple(range(-1, n - 1)) if branched else ()) for n, branched in shapes]
    sharing = Sharing(lengths=mixed, batch=equal)

    def cost(batches: list[list[TokenRow]]) -> float:
        padded = sum(len(batch) * max(len(row.tokens) for row in batch) for batch in batches)
        return padded + len(batches) * 64 * _OVERHEAD

    def is_allowed(batch: list[TokenRow]) -> bool:
        longest = max(len(row.tokens) for row in batch)
        together = all(sharing.allows(longest, len(row.tokens)) for row in batch) and len(batch) * longest <= 64
        return len(batch) == 1 or (together and len({row.branched for row in batch}) == 1)

    ordered = sorted(rows, key=lambda row: (row.branched, -len(row.tokens)))
    cheapest = min(
        cost(batches)
        for cuts in product([False, True], repeat=len(rows) - 1)
        if all(map(is_allowed, batches := split(ordered, cuts)))
    )
    assert cost(list(group_rows(rows, batch_tokens=64, sharing=sharing))) == cheapest


def split(rows: list[TokenRow], cuts: tuple[bool, ...]) -> list[list[TokenRow]]:
    """Return the rows in batches; each cut says whether another one begins after a row."""
    batches = [[rows[0]]]
    for row, is_cut in zip(rows[1:], cuts, strict=True):
        batches.append([row]) if is_cut else batches[-1].append(row)
    return batches


@given(st.lists(st.integers(1, 30), max_size=20), st.integers(0, 30), st.integers(0, 30))
@settings(deadline=None)
def test_rows_are_batched_only_with_compatible_rows(lengths: list[int], mixed: int, equal: int) -> None:
    rows = [TokenRow((0,) * length) for length in lengths]
    for batch in group_rows(rows, batch_tokens=64, sharing=Sharing(lengths=mixed, batch=equal)):
        longest = max(len(row.tokens) for row in batch)
        assert len(batch) == 1 or longest <= equal
        assert longest <= mixed or len({len(row.tokens) for row in batch}) == 1

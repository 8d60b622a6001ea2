from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from forgetmeter.scoring.packing import SHARED, Row, batches, pack_item
from forgetmeter.scoring.tokenization import TokenizedRequest

sequences = st.lists(st.integers(0, 3), min_size=1, max_size=9)


@st.composite
def requests(draw: st.DrawFn) -> list[tuple[int, TokenizedRequest]]:
    """Requests of one item: token ids from a tiny alphabet, so that prefixes and whole sequences coincide often."""
    many = draw(st.lists(sequences, min_size=1, max_size=5))
    return [
        (
            index,
            TokenizedRequest(tuple(ids), tuple(draw(st.lists(st.integers(4, 9), min_size=1, max_size=len(ids))))),
        )
        for index, ids in enumerate(many, start=10)
    ]


def unpacked(rows: list[Row]) -> dict[int, tuple[tuple[int, ...], tuple[int, ...]]]:
    """Read back what each request's last scored place has seen, and the targets, from the definition of a row."""
    found = {}
    for row in rows:
        for scored in row.scored:
            end = scored.places[-1]
            seen = [place for place in range(end + 1) if row.branches[place] in (SHARED, row.branches[end])]
            assert [row.positions[place] for place in seen] == list(range(len(seen)))
            assert list(scored.places) == seen[-len(scored.targets) :]
            found[scored.request] = (tuple(row.tokens[place] for place in seen), scored.targets)
    return found


@given(requests(), st.none() | st.integers(1, 20))
@settings(deadline=None)
def test_every_request_sees_exactly_its_own_tokens(
    some: list[tuple[int, TokenizedRequest]], longest_row: int | None
) -> None:
    rows = pack_item(some, longest_row=longest_row)
    assert unpacked(rows) == {index: (request.inputs, request.targets) for index, request in some}
    if longest_row is None:
        assert not any(row.branched for row in rows)
    else:
        longest = max(len(request.inputs) for _, request in some)
        assert all(len(row.tokens) <= max(longest_row, longest) for row in rows)


def test_what_is_shared_is_read_once() -> None:
    some = [(0, TokenizedRequest((1, 2, 3, 4), (9,))), (1, TokenizedRequest((1, 2, 3, 5, 6), (9, 9)))]
    (row,) = pack_item(some, longest_row=100)
    assert row.tokens == (1, 2, 3, 4, 5, 6)
    assert row.positions == (0, 1, 2, 3, 3, 4)
    assert row.branches == (0, 0, 0, 1, 2, 2)
    assert [scored.places for scored in row.scored] == [(3,), (4, 5)]


def test_equal_inputs_make_one_plain_row() -> None:
    some = [(0, TokenizedRequest((1, 2), (8,))), (1, TokenizedRequest((1, 2), (9,)))]
    (row,) = pack_item(some, longest_row=100)
    assert (row.tokens, row.branched, len(row.scored)) == ((1, 2), False, 2)


@given(st.lists(st.tuples(st.integers(1, 30), st.booleans()), max_size=20), st.integers(1, 64))
@settings(deadline=None)
def test_batches_hold_every_row_once_and_keep_to_the_budget(shapes: list[tuple[int, bool]], budget: int) -> None:
    rows = [Row((0,) * n, tuple(range(n)), (2 if branched else 0,) * n, ()) for n, branched in shapes]
    grouped = list(batches(rows, batch_tokens=budget))
    assert sorted(map(id, rows)) == sorted(id(row) for batch in grouped for row in batch)
    for batch in grouped:
        assert len({row.branched for row in batch}) == 1
        assert len(batch) == 1 or len(batch) * max(len(row.tokens) for row in batch) <= budget

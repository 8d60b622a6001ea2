"""Packing of token sequences into rows that contain common prefixes once.

Requests of an item mostly share a prefix, as do statements of a relation. A row is a tree: a token attends only to its
ancestors, so each branch reads as if it were alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from forgetmeter.scoring.batch_invariance.limits import Sharing
from forgetmeter.scoring.rows.batch import ROOT, Reading, Spread, TokenRow

LONGEST_ROW = 1024
"""Maximum number of tokens in a branched row."""
_CHEAP = 256
"""Up to this length, attention is cheap compared with matrix products; longer rows must save more tokens."""
_OVERHEAD = 1 / 32
"""Cost of another batch, as a share of the most tokens that one may have."""


@dataclass(frozen=True)
class WantedSequence:
    """A token sequence to score.

    Attributes:
        tokens: Token ids, beginning with the prompt; at least two.
        start: Index of the first scored token, at least 1; all later tokens are scored too.
        ranks_vocabulary: Whether to rank the last token in the vocabulary instead.
        context: Index of the encoder's text; sequences with different texts share nothing.
        ends: If not empty, alternatives for the last token (including it, as the first); only these are scored.
    """

    tokens: tuple[int, ...]
    start: int
    ranks_vocabulary: bool = False
    context: int = 0
    ends: tuple[int, ...] = ()


@dataclass(frozen=True)
class Packed:
    """Packed sequences.

    Attributes:
        rows: The rows to read.
        paths: For each sequence, in order, the slots of its scored tokens, of its ends (consecutive), or its one
            vocabulary slot.
        slots: Number of slots for single tokens.
        vocabulary_slots: Number of slots for vocabularies.
    """

    rows: tuple[TokenRow, ...]
    paths: tuple[Sequence[int], ...]
    slots: int
    vocabulary_slots: int


def pack(sequences: Sequence[WantedSequence], *, sharing: Sharing) -> Packed:
    """Pack sequences into rows.

    Without branches in ``sharing``, a row holds sequences that differ only in their last token, or one of which
    continues the other; if lengths must not be mixed, only the former.
    """
    order = sorted(range(len(sequences)), key=lambda index: (sequences[index].context, sequences[index].tokens))
    slots = _Slots()
    paths: list[Sequence[int]] = [()] * len(sequences)
    rows: list[TokenRow] = []
    row = _RowBuilder(slots)
    for index in order:
        sequence = sequences[index]
        if not row.takes(sequence, sharing):
            rows.append(row.finished())
            row = _RowBuilder(slots)
        paths[index] = row.add(sequence)
    if order:
        rows.append(row.finished())
    return Packed(tuple(rows), tuple(paths), slots.tokens, slots.vocabulary)


def group_rows(rows: Sequence[TokenRow], *, batch_tokens: int, sharing: Sharing) -> Iterator[list[TokenRow]]:
    """Group rows of similar length, longest first, into batches of at most ``batch_tokens`` tokens, padding included.

    Of all such groupings, the one with the least padding is chosen, where each batch counts as
    ``batch_tokens * _OVERHEAD`` more tokens. A longer row gets its own batch. Branched rows are not mixed with others,
    which need no attention mask.
    """
    ordered = sorted(rows, key=lambda row: (row.branched, -len(row.tokens)))
    lengths = np.array([len(row.tokens) for row in ordered], dtype=np.int64)
    ends = _ends(ordered, batch_tokens, sharing)
    first = 0

    def positions(end: int) -> NDArray[np.int64]:
        nonlocal first
        while ends[first] < end:
            first += 1
        return lengths[first:end] * (end - np.arange(first, end))

    _, batches = least_padded(len(ordered), positions, batch_tokens=batch_tokens)
    for start, end in batches:
        yield ordered[start:end]


def least_padded(
    rows: int, positions: Callable[[int], NDArray[np.int64]], *, batch_tokens: int
) -> tuple[float, list[tuple[int, int]]]:
    """Cut rows into batches that have the fewest positions together, by dynamic programming.

    Each batch counts as ``batch_tokens * _OVERHEAD`` more.

    Args:
        rows: Number of rows, in the order of the batches.
        positions: Returns, for a place at which a batch may end, called for each in order, the positions of all batches
            that may end there, one for each number of rows from the most to 1.
        batch_tokens: Maximum number of tokens per batch.

    Returns:
        The number of positions, and where each batch starts and ends.
    """
    # The cost of the rows before each place, and where the last of their batches starts.
    costs, starts = np.zeros(rows + 1), np.zeros(rows + 1, dtype=np.int64)
    for end in range(1, rows + 1):
        last = positions(end)
        first = end - len(last)
        found = costs[first:end] + last + batch_tokens * _OVERHEAD
        best = int(found.argmin())
        costs[end], starts[end] = found[best], first + best
    cuts = [rows]
    while cuts[-1]:
        cuts.append(int(starts[cuts[-1]]))
    return float(costs[-1]), list(pairwise(reversed(cuts)))


def _ends(ordered: Sequence[TokenRow], batch_tokens: int, sharing: Sharing) -> list[int]:
    """Return for each row, in the order of ``group_rows``, where a batch that starts with it must end.

    They never decrease.
    """
    ends = [0] * len(ordered)
    # Where the rows of the same kind, and those that also have the same length, end.
    of_kind = of_length = len(ordered)
    for place in reversed(range(len(ordered))):
        longest = len(ordered[place].tokens)
        if place + 1 < len(ordered):
            if ordered[place].branched != ordered[place + 1].branched:
                of_kind = of_length = place + 1
            elif longest != len(ordered[place + 1].tokens):
                of_length = place + 1
        shared = of_kind if sharing.allows(longest, longest - 1) else of_length
        most = place + batch_tokens // longest if sharing.allows(longest, longest) else 0
        ends[place] = max(place + 1, min(shared, most))
    return ends


class _Slots:
    def __init__(self) -> None:
        self.tokens = self.vocabulary = 0

    def next_token(self) -> int:
        return self.next_tokens(1)[0]

    def next_tokens(self, number: int) -> range:
        self.tokens += number
        return range(self.tokens - number, self.tokens)

    def next_vocabulary(self) -> int:
        self.vocabulary += 1
        return self.vocabulary - 1


@dataclass
class _Node:
    """A token on the path of the last sequence added."""

    token: int
    place: int | None = None
    slot: int | None = None


class _RowBuilder:
    """A row under construction; sequences are added in lexicographic order."""

    def __init__(self, slots: _Slots) -> None:
        self._slots = slots
        self._path: list[_Node] = []
        self._tokens: list[int] = []
        self._parents: list[int] = []
        self._readings: list[Reading] = []
        self._vocabulary: list[Reading] = []
        self._spreads: list[Spread] = []
        self._context = 0

    def takes(self, sequence: WantedSequence, sharing: Sharing) -> bool:
        """Whether adding a sequence to this row is allowed and worthwhile."""
        if not self._path:
            return True
        shared = self._shared(sequence)
        if not shared or sequence.context != self._context:
            return False
        inputs = len(sequence.tokens) - 1
        known = sum(node.place is not None for node in self._path[: min(shared, inputs)])
        length = len(self._tokens) + inputs - known
        if length > sharing.lengths and not known == inputs == length:
            return False
        if known == inputs:
            return True
        if not sharing.branches:
            return self._path[known - 1].place == len(self._tokens) - 1
        return length <= sharing.branches and (3 * known >= inputs if length <= _CHEAP else 2 * known >= length)

    def add(self, sequence: WantedSequence) -> Sequence[int]:
        self._context = sequence.context
        shared = self._shared(sequence)
        self._path = [*self._path[:shared], *(_Node(token) for token in sequence.tokens[shared:])]
        for level, node in enumerate(self._path[:-1]):
            if node.place is None:
                node.place = len(self._tokens)
                self._tokens.append(node.token)
                self._parents.append(self._place(level - 1) if level else ROOT)
        if sequence.ranks_vocabulary:
            slot = self._slots.next_vocabulary()
            self._vocabulary.append(Reading(self._place(-2), sequence.tokens[-1], slot))
            return (slot,)
        if sequence.ends:
            slots = self._slots.next_tokens(len(sequence.ends))
            self._spreads.append(Spread(self._place(-2), sequence.ends, slots[0]))
            return slots
        return tuple(self._slot(level) for level in range(sequence.start, len(self._path)))

    def finished(self) -> TokenRow:
        follows = all(parent == place - 1 for place, parent in enumerate(self._parents))
        parents = () if follows else tuple(self._parents)
        return TokenRow(
            tuple(self._tokens),
            parents,
            tuple(self._readings),
            tuple(self._vocabulary),
            self._context,
            tuple(self._spreads),
        )

    def _shared(self, sequence: WantedSequence) -> int:
        length = 0
        for node, token in zip(self._path, sequence.tokens, strict=False):
            if node.token != token:
                break
            length += 1
        return length

    def _place(self, level: int) -> int:
        place = self._path[level].place
        assert place is not None
        return place

    def _slot(self, level: int) -> int:
        node = self._path[level]
        if node.slot is None:
            node.slot = self._slots.next_token()
            self._readings.append(Reading(self._place(level - 1), node.token, node.slot))
        return node.slot

"""Rows: what a model reads and what is read off it, as values and as tensors."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import chain

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

_PADDING = 0


ROOT = -1
"""Parent of a row's first token."""


@dataclass(frozen=True)
class Reading:
    """One thing to be read.

    Attributes:
        place: Index of the row's token at which the model's distribution is looked at.
        target: The token whose log-probability is wanted there.
        slot: Where the result goes.
    """

    place: int
    target: int
    slot: int


@dataclass(frozen=True)
class Spread:
    """Several tokens to be read at one place; one object, however many they are.

    Attributes:
        place: Index of the row's token at which the model's distribution is looked at.
        targets: The tokens whose log-probabilities are wanted there.
        first_slot: Where the first result goes; the others follow it.
    """

    place: int
    targets: tuple[int, ...]
    first_slot: int


@dataclass(frozen=True)
class Row:
    """One row of a batch.

    Attributes:
        tokens: Token ids.
        parents: Index of the token that each token follows; ``ROOT`` for the first. A token sees its ancestors
            and itself. Empty where each token follows the one before it.
        readings: Log-probabilities of single tokens that are wanted.
        vocabulary: Places where the whole vocabulary is ranked.
        context: Index of the text that the encoder of an encoder-decoder reads for this row.
        spreads: Places where several tokens are wanted; their slots are those of ``readings``, numbered on.
    """

    tokens: tuple[int, ...]
    parents: tuple[int, ...] = ()
    readings: tuple[Reading, ...] = field(default=())
    vocabulary: tuple[Reading, ...] = field(default=())
    context: int = 0
    spreads: tuple[Spread, ...] = field(default=())

    @property
    def branched(self) -> bool:
        """Whether plain causal attention would mix up branches."""
        return bool(self.parents)


@dataclass(frozen=True)
class Readings:
    """What is read off distributions; all int64, of shape ``(readings,)``.

    Attributes:
        which: Index of the distribution.
        targets: The token that is looked at.
        slots: Where the result goes.
    """

    which: Tensor
    targets: Tensor
    slots: Tensor


@dataclass(frozen=True)
class Encoded:
    """What the encoder of an encoder-decoder reads for a batch.

    Attributes:
        tokens: Token ids, int64, of shape ``(texts, length)``, padded on the right.
        mask: 1 where there is a token, int64, of the same shape.
        rows: Index of the text that each row of the batch answers to, int64, of shape ``(rows,)``.
    """

    tokens: Tensor
    mask: Tensor
    rows: Tensor


@dataclass(frozen=True)
class Batch:
    """What the model is given, and where its answers are read.

    Attributes:
        tokens: Token ids, int64, of shape ``(rows, length)``, padded on the right.
        mask: 1 where there is a token, int64, of the same shape; ``None`` where no row is padded.
        positions: Position ids of the same shape; ``None`` where they just count up.
        visible: What each token may look at, bool, of shape ``(rows, 1, length, length)``; ``None`` where the
            model's own attention is right.
        rows: Row index of each wanted distribution, int64, of shape ``(wanted,)``.
        places: Place in the row of each wanted distribution, of the same shape.
        single: Single tokens to be read off them.
        vocabulary: Whole vocabularies to be ranked.
        encoded: What the encoder reads, for an encoder-decoder.
        real_tokens: Number of tokens that are not padding.
    """

    tokens: Tensor
    mask: Tensor | None
    positions: Tensor | None
    visible: Tensor | None
    rows: Tensor
    places: Tensor
    single: Readings
    vocabulary: Readings
    encoded: Encoded | None
    real_tokens: int


def make_batch(
    rows: Sequence[Row],
    *,
    device: torch.device,
    padding: int = _PADDING,
    contexts: Sequence[tuple[int, ...]] = (),
) -> Batch:
    """Turn rows into tensors on a device.

    Args:
        rows: The rows.
        device: Where the model is.
        padding: The token that fills up short rows.
        contexts: What an encoder may be asked to read, by the index that rows name.
    """
    tokens, mask = _padded([row.tokens for row in rows], padding)
    positions, visible = None, None
    if any(row.branched for row in rows):
        seen = np.stack([_ancestors(row, tokens.shape[1]) for row in rows])
        visible = torch.from_numpy(seen)[:, None].to(device)
        # As many ancestors as a token has, so many tokens stand before it in its own sequence.
        positions = torch.from_numpy(seen.sum(2) - 1).to(device)
    wanted: dict[tuple[int, int], int] = {}
    single = np.concatenate([_readings((row.readings for row in rows), wanted), _spreads(rows, wanted)], axis=1)
    vocabulary = _readings((row.vocabulary for row in rows), wanted)
    columns = torch.tensor(list(wanted), dtype=torch.int64).view(-1, 2).T.contiguous().to(device)
    encoded = _encoded(rows, contexts, device) if contexts else None
    return Batch(
        tokens=tokens.to(device),
        mask=None if bool(mask.all()) else mask.to(device),
        positions=positions,
        visible=visible,
        rows=columns[0],
        places=columns[1],
        single=Readings(*torch.from_numpy(single).to(device)),
        vocabulary=Readings(*torch.from_numpy(vocabulary).to(device)),
        encoded=encoded,
        real_tokens=int(mask.sum()) + (0 if encoded is None else int(encoded.mask.sum())),
    )


def _padded(sequences: Sequence[tuple[int, ...]], padding: int) -> tuple[Tensor, Tensor]:
    lengths = torch.tensor([len(sequence) for sequence in sequences])
    longest = int(lengths.max())
    tokens = torch.tensor([[*sequence, *[padding] * (longest - len(sequence))] for sequence in sequences])
    return tokens, (torch.arange(longest)[None] < lengths[:, None]).long()


def _encoded(rows: Sequence[Row], contexts: Sequence[tuple[int, ...]], device: torch.device) -> Encoded:
    used = {context: place for place, context in enumerate(dict.fromkeys(row.context for row in rows))}
    tokens, mask = _padded([contexts[context] for context in used], _PADDING)
    places = torch.tensor([used[row.context] for row in rows])
    return Encoded(tokens.to(device), mask.to(device), places.to(device))


def _readings(readings: Iterable[Sequence[Reading]], wanted: dict[tuple[int, int], int]) -> NDArray[np.int64]:
    """Return which distributions, targets and slots there are, shape ``(3, readings)``; add to ``wanted``."""
    found = [
        (wanted.setdefault((number, reading.place), len(wanted)), reading.target, reading.slot)
        for number, of_row in enumerate(readings)
        for reading in of_row
    ]
    columns: NDArray[np.int64] = np.array(found, dtype=np.int64).reshape(-1, 3).T
    return columns


def _spreads(rows: Sequence[Row], wanted: dict[tuple[int, int], int]) -> NDArray[np.int64]:
    """Return the same of places where several tokens are wanted."""
    found: list[tuple[int, Spread]] = [
        (wanted.setdefault((number, spread.place), len(wanted)), spread)
        for number, row in enumerate(rows)
        for spread in row.spreads
    ]
    lengths = [len(spread.targets) for _, spread in found]
    targets = np.fromiter(chain.from_iterable(spread.targets for _, spread in found), np.int64, sum(lengths))
    which = np.repeat(np.array([place for place, _ in found], dtype=np.int64), lengths)
    # Within each spread the slots count up from its first.
    firsts = np.array([spread.first_slot for _, spread in found], dtype=np.int64)
    shifts = firsts - np.cumsum([0, *lengths[:-1]], dtype=np.int64)[: len(found)]
    slots = np.arange(len(targets), dtype=np.int64) + np.repeat(shifts, lengths)
    return np.stack([which, targets, slots])


def _ancestors(row: Row, length: int) -> NDArray[np.bool_]:
    """Return which tokens each token sees; padding sees itself alone, so that its position is the first."""
    seen = np.zeros((length, length), dtype=np.bool_)
    parents = row.parents or range(ROOT, len(row.tokens) - 1)
    for place, parent in enumerate([*parents, *[ROOT] * (length - len(row.tokens))]):
        if parent != ROOT:
            seen[place] = seen[parent]
        seen[place, place] = True
    return seen

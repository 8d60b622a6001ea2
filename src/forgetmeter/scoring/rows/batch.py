"""Rows of tokens with the readings wanted from them, as values and as tensors."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from hashlib import sha256
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
    """A log-probability to read.

    Attributes:
        place: Position in the row whose output distribution is read.
        target: Token id whose log-probability is read.
        slot: Index of the result.
    """

    place: int
    target: int
    slot: int


@dataclass(frozen=True)
class Spread:
    """Log-probabilities of several tokens to read at one position.

    Attributes:
        place: Position in the row, as in ``Reading``.
        targets: Token ids whose log-probabilities are read.
        first_slot: Index of the first result; the others follow it.
    """

    place: int
    targets: tuple[int, ...]
    first_slot: int


@dataclass(frozen=True)
class TokenRow:
    """One row of a batch.

    Attributes:
        tokens: Token ids.
        parents: Index of each token's predecessor, ``ROOT`` for the first. A token attends to its ancestors and itself.
            Empty if each token follows the previous one.
        readings: Single log-probabilities to read.
        vocabulary: Positions at which to rank the whole vocabulary.
        context: Index of the encoder's text, for an encoder-decoder.
        spreads: Positions at which to read several tokens; they share their slots' numbering with ``readings``.
    """

    tokens: tuple[int, ...]
    parents: tuple[int, ...] = ()
    readings: tuple[Reading, ...] = field(default=())
    vocabulary: tuple[Reading, ...] = field(default=())
    context: int = 0
    spreads: tuple[Spread, ...] = field(default=())

    @property
    def branched(self) -> bool:
        """Whether the row has branches, which plain causal attention would mix."""
        return bool(self.parents)


@dataclass(frozen=True)
class Readings:
    """Readings of a batch; all int64, shape ``(readings,)``.

    Attributes:
        which: Index of the distribution.
        targets: Token id to read.
        slots: Index of the result.
    """

    which: Tensor
    targets: Tensor
    slots: Tensor


@dataclass(frozen=True)
class Encoded:
    """Encoder input of a batch, for an encoder-decoder.

    Attributes:
        tokens: Token ids, int64, shape ``(texts, length)``, right-padded.
        mask: 1 for tokens, 0 for padding, int64, same shape.
        rows: Index of each row's text, int64, shape ``(rows,)``.
    """

    tokens: Tensor
    mask: Tensor
    rows: Tensor


@dataclass(frozen=True)
class Batch:
    """Model input, and the readings wanted from the output.

    Attributes:
        tokens: Token ids, int64, shape ``(rows, length)``, right-padded.
        mask: 1 for tokens, 0 for padding, int64, same shape; ``None`` without padding.
        positions: Position ids, same shape; ``None`` if they are consecutive.
        visible: Attention mask, bool, shape ``(rows, 1, length, length)``; ``None`` for the model's default attention.
        rows: Row index of each distribution to read, int64, shape ``(wanted,)``.
        places: Position in the row of each distribution, same shape.
        single: Single tokens to read.
        vocabulary: Vocabularies to rank.
        encoded: Encoder input, for an encoder-decoder.
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

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the input and the readings, by which other processes know the batch."""
        encoded = () if self.encoded is None else vars(self.encoded).values()
        tensors = (self.tokens, self.mask, self.positions, self.visible, self.rows, self.places)
        content = sha256()
        for each in chain(tensors, vars(self.single).values(), vars(self.vocabulary).values(), encoded):
            content.update(repr(None if each is None else (each.dtype, each.shape)).encode())
            if each is not None:
                content.update(each.cpu().contiguous().numpy().data)
        return content.hexdigest()


def make_batch(
    rows: Sequence[TokenRow],
    *,
    device: torch.device,
    padding: int = _PADDING,
    contexts: Sequence[tuple[int, ...]] = (),
) -> Batch:
    """Turn rows into tensors on a device; ``contexts`` are the encoder's texts, indexed by ``TokenRow.context``."""
    tokens, mask = _padded([row.tokens for row in rows], padding)
    positions, visible = None, None
    if any(row.branched for row in rows):
        seen = np.stack([_ancestors(row, tokens.shape[1]) for row in rows])
        visible = torch.from_numpy(seen)[:, None].to(device)
        # A token's position in its own sequence is its number of ancestors.
        positions = torch.from_numpy(seen.sum(2) - 1).to(device)
    wanted: dict[tuple[int, int], int] = {}
    single = np.concatenate([_readings((row.readings for row in rows), wanted), _spreads(rows, wanted)], axis=1)
    vocabulary = _readings((row.vocabulary for row in rows), wanted)
    columns = torch.tensor(list(wanted), dtype=torch.int64).view(-1, 2).T.contiguous().to(device)
    encoded = _encoded(rows, contexts, device) if contexts else None
    read = [row.tokens for row in rows] + [contexts[which] for which in {row.context for row in rows} if contexts]
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
        # Counted here, as a device may be without values (meta).
        real_tokens=sum(map(len, read)),
    )


def _padded(sequences: Sequence[tuple[int, ...]], padding: int) -> tuple[Tensor, Tensor]:
    lengths = torch.tensor([len(sequence) for sequence in sequences])
    longest = int(lengths.max())
    tokens = torch.tensor([[*sequence, *[padding] * (longest - len(sequence))] for sequence in sequences])
    return tokens, (torch.arange(longest)[None] < lengths[:, None]).long()


def _encoded(rows: Sequence[TokenRow], contexts: Sequence[tuple[int, ...]], device: torch.device) -> Encoded:
    used = {context: place for place, context in enumerate(dict.fromkeys(row.context for row in rows))}
    tokens, mask = _padded([contexts[context] for context in used], _PADDING)
    places = torch.tensor([used[row.context] for row in rows])
    return Encoded(tokens.to(device), mask.to(device), places.to(device))


def _readings(readings: Iterable[Sequence[Reading]], wanted: dict[tuple[int, int], int]) -> NDArray[np.int64]:
    """Return distributions, targets and slots, shape ``(3, readings)``; adds to ``wanted``."""
    found = [
        (wanted.setdefault((number, reading.place), len(wanted)), reading.target, reading.slot)
        for number, of_row in enumerate(readings)
        for reading in of_row
    ]
    columns: NDArray[np.int64] = np.array(found, dtype=np.int64).reshape(-1, 3).T
    return columns


def _spreads(rows: Sequence[TokenRow], wanted: dict[tuple[int, int], int]) -> NDArray[np.int64]:
    """Return the same for ``TokenRow.spreads``."""
    found: list[tuple[int, Spread]] = [
        (wanted.setdefault((number, spread.place), len(wanted)), spread)
        for number, row in enumerate(rows)
        for spread in row.spreads
    ]
    lengths = [len(spread.targets) for _, spread in found]
    targets = np.fromiter(chain.from_iterable(spread.targets for _, spread in found), np.int64, sum(lengths))
    which = np.repeat(np.array([place for place, _ in found], dtype=np.int64), lengths)
    # Slots of a spread are consecutive.
    firsts = np.array([spread.first_slot for _, spread in found], dtype=np.int64)
    shifts = firsts - np.cumsum([0, *lengths[:-1]], dtype=np.int64)[: len(found)]
    slots = np.arange(len(targets), dtype=np.int64) + np.repeat(shifts, lengths)
    return np.stack([which, targets, slots])


def _ancestors(row: TokenRow, length: int) -> NDArray[np.bool_]:
    """Return which tokens each token attends to; padding attends only to itself, so that its position is 0."""
    seen = np.zeros((length, length), dtype=np.bool_)
    parents = row.parents or range(ROOT, len(row.tokens) - 1)
    for place, parent in enumerate([*parents, *[ROOT] * (length - len(row.tokens))]):
        if parent != ROOT:
            seen[place] = seen[parent]
        seen[place, place] = True
    return seen

"""Rows as tensors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from forgetmeter.scoring.packing import SHARED, Row

_PADDING = 0
_PADDED_BRANCH = -1


@dataclass(frozen=True)
class Batch:
    """What the model is given, and where its answers are read.

    Attributes:
        tokens: Token ids, int64, of shape ``(rows, length)``, padded on the right.
        positions: Position ids of the same shape; ``None`` where they just count up.
        mask: What each token may look at, bool, of shape ``(rows, 1, length, length)``; ``None`` where plain
            causal attention is right.
        rows: Row index of each wanted distribution, int64, of shape ``(wanted,)``.
        places: Place in the row of each wanted distribution, of the same shape.
        targets: The token whose log-probability is wanted there, of the same shape.
        owners: Index of the request that each belongs to, of the same shape.
        real_tokens: Number of tokens that are not padding.
    """

    tokens: Tensor
    positions: Tensor | None
    mask: Tensor | None
    rows: Tensor
    places: Tensor
    targets: Tensor
    owners: Tensor
    real_tokens: int


def make_batch(rows: Sequence[Row], *, device: torch.device) -> Batch:
    """Turn rows into tensors on a device."""
    length = max(len(row.tokens) for row in rows)
    tokens = torch.tensor([_padded(row.tokens, length, _PADDING) for row in rows])
    positions, mask = None, None
    if any(row.branched for row in rows):
        positions = torch.tensor([_padded(row.positions, length, 0) for row in rows]).to(device)
        branches = torch.tensor([_padded(row.branches, length, _PADDED_BRANCH) for row in rows])
        mask = _branch_mask(branches).to(device)
    wanted = [
        (number, place, target, scored.request)
        for number, row in enumerate(rows)
        for scored in row.scored
        for place, target in zip(scored.places, scored.targets, strict=True)
    ]
    columns = torch.tensor(wanted).T.contiguous().to(device)
    return Batch(
        tokens=tokens.to(device),
        positions=positions,
        mask=mask,
        rows=columns[0],
        places=columns[1],
        targets=columns[2],
        owners=columns[3],
        real_tokens=sum(len(row.tokens) for row in rows),
    )


def _padded(values: tuple[int, ...], length: int, filler: int) -> list[int]:
    return [*values, *[filler] * (length - len(values))]


def _branch_mask(branches: Tensor) -> Tensor:
    """Let each token see earlier ones of its own branch and of the shared part; padding sees all before it."""
    length = branches.shape[1]
    causal = torch.ones(length, length, dtype=torch.bool).tril()
    query, key = branches[:, :, None], branches[:, None, :]
    visible = (key == SHARED) | (key == query) | (query == _PADDED_BRANCH)
    return (visible & causal)[:, None]

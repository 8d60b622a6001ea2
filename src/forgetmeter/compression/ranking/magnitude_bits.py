"""Magnitudes of floating-point numbers as integers: the bits without the sign have the same order."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

PIECE = 1 << 18
"""Weights per piece: enough to keep several threads busy, few enough for the cache."""


@dataclass(frozen=True)
class MagnitudeLayout:
    """How a dtype's magnitudes are read as integers."""

    integer: torch.dtype
    magnitude_bits: int
    infinity: int


LAYOUTS = {
    torch.float64: MagnitudeLayout(torch.int64, 63, 0x7FF0_0000_0000_0000),
    torch.float32: MagnitudeLayout(torch.int32, 31, 0x7F80_0000),
    torch.float16: MagnitudeLayout(torch.int16, 15, 0x7C00),
    torch.bfloat16: MagnitudeLayout(torch.int16, 15, 0x7F80),
}


def patterns(piece: Tensor, dtype: torch.dtype) -> Tensor:
    """Return the magnitudes of weights in ``dtype``, read as integers of the same width."""
    layout = LAYOUTS[dtype]
    return piece.to(dtype).view(layout.integer) & ((1 << layout.magnitude_bits) - 1)


def pieces(tensor: Tensor) -> Iterator[Tensor]:
    """Yield the weights in row-major order as flat contiguous pieces, without a copy if possible."""
    if tensor.is_contiguous():
        yield from tensor.detach().view(-1).split(PIECE)
    elif tensor.numel() <= PIECE:
        yield tensor.detach().reshape(-1)
    else:
        rows = PIECE // tensor[0].numel()
        for block in tensor.split(max(1, rows)):
            yield from pieces(block if rows else block[0])


def pieces_with(tensor: Tensor, contiguous: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield each piece of a tensor with the same piece of a contiguous tensor of the same shape."""
    start = 0
    for piece in pieces(tensor):
        yield piece, contiguous.view(-1)[start : start + piece.numel()]
        start += piece.numel()

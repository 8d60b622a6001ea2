"""Sizes of weights on disk."""

from __future__ import annotations

import torch
from torch import Tensor

SCALE_BYTES = 4
_SAME_WIDTH = {1: torch.int8, 2: torch.int16, 4: torch.int32, 8: torch.int64}
_PIECE = 1 << 18
_LOOKED_AT = 64


def lossless_bytes(values: Tensor, bits: int, grid_bytes: int) -> int:
    """Return the bytes of weights in their smallest lossless format.

    The formats are: all weights; a bitmask with the nonzero weights; the output and input units that are not all zero,
    with one bit per unit. Each takes ``bits`` per stored weight, and ``grid_bytes``. Each expert is a matrix.
    """
    ways = (
        packed_bytes(values.numel(), bits),
        packed_bytes(values.numel(), 1) + packed_bytes(count_nonzero(values), bits),
        _without_zero_units(values, bits),
    )
    return min(ways) + grid_bytes


def count_nonzero(values: Tensor) -> int:
    """Return the number of values other than 0 and -0, for any shape and strides.

    Much faster than ``torch.count_nonzero``, which is slow for floating-point numbers if some are zero.
    """
    if not values.is_floating_point() or values.dim() == 0:
        return int(torch.count_nonzero(values))
    integer = _SAME_WIDTH[values.element_size()]
    magnitude = torch.iinfo(integer).max
    rows = max(1, _PIECE * len(values) // max(1, values.numel()))
    pieces = values.detach().view(integer).split(rows)
    return sum(int(torch.count_nonzero(piece & magnitude)) for piece in pieces)


def _without_zero_units(values: Tensor, bits: int) -> int:
    outputs, inputs = _not_all_zero(values), _not_all_zero(values.transpose(-2, -1))
    left = int((outputs.sum(-1) * inputs.sum(-1)).sum())
    return packed_bytes(left, bits) + packed_bytes(outputs.numel(), 1) + packed_bytes(inputs.numel(), 1)


def _not_all_zero(values: Tensor) -> Tensor:
    """Return whether each row has a nonzero value; bool, in the shape without the last axis."""
    # The first few values decide nearly all rows.
    found: Tensor = (values[..., :_LOOKED_AT] != 0).any(-1)
    doubtful = ~found
    if doubtful.any():
        found[doubtful] = (values[doubtful] != 0).any(-1)
    return found


def packed_bytes(count: int, bits: int) -> int:
    """Return the bytes of ``count`` numbers of ``bits`` bits, packed without gaps."""
    return -(-count * bits // 8)

"""How many bytes weights take on the disk."""

from __future__ import annotations

import torch
from torch import Tensor

SCALE_BYTES = 4
_SAME_WIDTH = {1: torch.int8, 2: torch.int16, 4: torch.int32, 8: torch.int64}
_PIECE = 1 << 18
_LOOKED_AT = 64


def lossless_bytes(values: Tensor, bits: int, scales: int) -> int:
    """Return the bytes of weights in the smallest way to store them without loss, whatever their form.

    These are: at their bits, with their scales; as one bit a weight and the weights that are not zero, at their bits;
    without the output and input units that are all zero, with one bit a unit.

    Args:
        values: The weights; of experts, each is a matrix.
        bits: What a weight takes.
        scales: How many float32 scales there are.
    """
    ways = (
        packed_bytes(values.numel(), bits),
        packed_bytes(values.numel(), 1) + packed_bytes(count_nonzero(values), bits),
        _without_zero_units(values, bits),
    )
    return min(ways) + scales * SCALE_BYTES


def count_nonzero(values: Tensor) -> int:
    """Return how many values are neither zero nor negative zero; as ``torch.count_nonzero``, but much faster.

    That one stumbles over floating-point numbers of which some are zero; integers it counts many at a time.

    Args:
        values: Of any shape and strides, floating-point or integers.
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
    """Say of each row whether it has anything but zeros; bool, of the shape without the last axis."""
    # The first few say it of nearly all rows.
    found: Tensor = (values[..., :_LOOKED_AT] != 0).any(-1)
    doubtful = ~found
    if doubtful.any():
        found[doubtful] = (values[doubtful] != 0).any(-1)
    return found


def packed_bytes(count: int, bits: int) -> int:
    """Return the bytes of numbers of some bits each, one right after the other."""
    return -(-count * bits // 8)

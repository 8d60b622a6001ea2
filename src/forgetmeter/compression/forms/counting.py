"""Counting the weights that are not zero."""

from __future__ import annotations

import torch
from torch import Tensor

_SAME_WIDTH = {1: torch.int8, 2: torch.int16, 4: torch.int32, 8: torch.int64}
_PIECE = 1 << 18


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

from __future__ import annotations

import torch

from forgetmeter.compression.applying.smallest_storage import smallest_bytes
from forgetmeter.compression.forms.weight import DenseWeight


def test_units_that_are_all_zero_are_told_from_those_that_only_begin_so() -> None:
    """Against a loop over all units; the matrix is larger than what is looked at first."""
    values = torch.zeros(3, 150, 200)
    generator = torch.Generator().manual_seed(0)
    values[:, 100:, 120:] = torch.rand(3, 50, 80, generator=generator) + 1
    values[1, 3, 199] = 1.0
    left = 0
    for matrix in values:
        rows = sum(bool(row.any()) for row in matrix)
        columns = sum(bool(column.any()) for column in matrix.t())
        left += rows * columns
    expected = 4 * left + -(-3 * 150 // 8) + -(-3 * 200 // 8)
    bitmask = 3 * 150 * 200 // 8 + 4 * int(torch.count_nonzero(values))
    assert smallest_bytes(DenseWeight(values), values.numel() * 4) == min(expected, bitmask)
    values[:, 100:, 120:] = 1
    assert expected < bitmask

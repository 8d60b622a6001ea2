"""Counts of zeros, against torch and a loop."""

from __future__ import annotations

import pytest
import torch

from forgetmeter.compression.forms.storage import count_nonzero
from forgetmeter.compression.forms.weight import DenseWeight


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.float16, torch.bfloat16, torch.int8])
@pytest.mark.parametrize("shape", [(), (0,), (0, 5), (7,), (513, 700), (3, 40, 50)])
def test_counts_match_torch(dtype: torch.dtype, shape: tuple[int, ...]) -> None:
    values = torch.randint(-2, 3, shape, generator=torch.Generator().manual_seed(0)).to(dtype)
    # Negative zero counts as zero.
    values = values * (1 if dtype == torch.int8 else -1)
    assert count_nonzero(values) == int(torch.count_nonzero(values))


def test_nan_and_infinity_are_not_zeros_and_strides_do_not_matter() -> None:
    values = torch.tensor([[float("nan"), float("inf"), 0.0], [-0.0, 1e-45, -float("inf")]])
    assert count_nonzero(values) == count_nonzero(values.t()) == 4
    assert count_nonzero(torch.zeros(()).expand(3, 4)) == 0
    assert count_nonzero(torch.ones(()).expand(3, 4)) == 12


def test_units_that_only_begin_with_zeros_are_not_counted_as_zero() -> None:
    """Against a loop over all units; the matrix is larger than the part checked first."""
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
    assert DenseWeight(values).smallest_bytes(values.numel() * 4) == min(expected, bitmask)
    values[:, 100:, 120:] = 1
    assert expected < bitmask

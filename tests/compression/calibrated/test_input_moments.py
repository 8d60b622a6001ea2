"""Sums over a layer's inputs, against one input at a time."""

from __future__ import annotations

import pytest
import torch

from forgetmeter.compression.calibrated.input_moments import InputMoments


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_sums_are_those_of_single_inputs(dtype) -> None:
    parts = [torch.randn(2, 3, 5, dtype=dtype), torch.randn(4, 5, dtype=dtype), torch.randn(0, 5, dtype=dtype)]
    moments = InputMoments(5, torch.device("cpu"), has_products=True)
    for part in parts:
        moments.add(part)
    rows = [row.double() for part in parts for row in part.reshape(-1, 5)]
    assert moments.positions == len(rows) == 10
    for found, expected in [
        (moments.squares, sum(row**2 for row in rows)),
        (moments.magnitudes, sum(row.abs() for row in rows)),
        (moments.largest, torch.stack(rows).abs().amax(0)),
        (moments.products, sum(torch.outer(row, row) for row in rows)),
    ]:
        torch.testing.assert_close(found.double(), expected, rtol=1e-5, atol=1e-5)
    assert InputMoments(5, torch.device("cpu"), has_products=False).products is None

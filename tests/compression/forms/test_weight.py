"""Dense weights under a mask."""

from __future__ import annotations

import math

import pytest
import torch

from forgetmeter.compression.forms.weight import DenseWeight

VALUES = [[1.5, -2.25, 0.0, -0.0], [math.inf, -math.inf, math.nan, 3.0]]


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("turned", [False, True])
def test_masking_keeps_bits_and_makes_positive_zeros(dtype: torch.dtype, turned: bool) -> None:
    tensor = torch.tensor(VALUES, dtype=dtype)
    keep = torch.tensor([[True, False, True, True], [False, True, False, True]])
    tensor, keep = (tensor.t(), keep.t()) if turned else (tensor, keep)
    before = tensor.clone()
    pruned = DenseWeight(tensor).masked(keep).values()
    assert pruned.dtype == dtype
    assert pruned.is_contiguous()
    for kept, old, new in zip(keep.flatten(), before.flatten(), pruned.flatten(), strict=True):
        if kept:
            assert old.item() == new.item()
            assert torch.signbit(old) == torch.signbit(new)
        else:
            assert new.item() == 0
            assert not torch.signbit(new)
    assert torch.equal(tensor, before) or bool(before.isnan().any())


def test_a_parameter_with_gradient_can_be_masked() -> None:
    pruned = DenseWeight(torch.nn.Parameter(torch.ones(2, 2))).masked(torch.eye(2, dtype=torch.bool))
    assert pruned.values().tolist() == [[1, 0], [0, 1]]

from __future__ import annotations

import pytest
import torch

from forgetmeter.compression.forms.counting import count_nonzero


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.float16, torch.bfloat16, torch.int8])
@pytest.mark.parametrize("shape", [(), (0,), (0, 5), (7,), (513, 700), (3, 40, 50)])
def test_counts_as_torch_does(dtype: torch.dtype, shape: tuple[int, ...]) -> None:
    values = torch.randint(-2, 3, shape, generator=torch.Generator().manual_seed(0)).to(dtype)
    # Negative zeros are zeros.
    values = values * (1 if dtype == torch.int8 else -1)
    assert count_nonzero(values) == int(torch.count_nonzero(values))


def test_nan_and_infinity_are_no_zeros_and_strides_do_not_matter() -> None:
    values = torch.tensor([[float("nan"), float("inf"), 0.0], [-0.0, 1e-45, -float("inf")]])
    assert count_nonzero(values) == count_nonzero(values.t()) == 4
    assert count_nonzero(torch.zeros(()).expand(3, 4)) == 0
    assert count_nonzero(torch.ones(()).expand(3, 4)) == 12

"""Error compensation, against its equations in float64."""

from __future__ import annotations

import pytest
import torch
from compression.calibrated.one_at_a_time import damped, inverse_from, layer, moments_of, settled

from forgetmeter.compression.calibrated.column_by_column import compensated, curvature, inverse_factor
from forgetmeter.compression.forms.unusable_weight import UnusableWeightError


@pytest.mark.parametrize("damp", [0.01, 0.5])
def test_the_factor_holds_the_inverse_of_all_units_still_to_come(damp) -> None:
    _, inputs = layer()
    factor = inverse_factor(curvature(moments_of(inputs)), damp)
    hessian = damped(inputs, damp) / inputs.double().square().sum(0).max()
    for place in range(len(hessian)):
        inverse = inverse_from(hessian, place)
        row = (inverse[0] / inverse[0, 0].sqrt()).float()
        torch.testing.assert_close(factor[place, place:], row, rtol=1e-4, atol=1e-5)
        assert not factor[place, :place].any()


@pytest.mark.parametrize("block_size", [1, 5, 32, 100])
def test_blocks_do_not_change_results(block_size) -> None:
    weight, inputs = layer()
    columns = weight.t().contiguous()
    factor = inverse_factor(curvature(moments_of(inputs)), 0.01)
    compensated(columns, factor, block_size, lambda _, block: lambda at: block[at].round())
    expected = settled(weight, damped(inputs), lambda place, weights, _: weights[:, place].round())
    assert torch.equal(columns.t(), expected.float())


def test_an_unused_input_is_independent_and_weighs_as_the_mean() -> None:
    _, inputs = layer()
    inputs[:, 4] = 0
    found = curvature(moments_of(inputs))
    used = torch.arange(inputs.shape[1]) != 4
    products = (inputs.t() @ inputs)[used][:, used]
    torch.testing.assert_close(found[used][:, used], products / products.max())
    assert not found[4, used].any()
    torch.testing.assert_close(found[4, 4], found.diagonal()[used].mean())


@pytest.mark.parametrize("inputs", [torch.zeros(0, 6), torch.zeros(3, 6)])
def test_without_inputs_errors_count_alike(inputs) -> None:
    assert torch.equal(curvature(moments_of(inputs)), torch.eye(6))


@pytest.mark.parametrize("value", [torch.nan, torch.inf, 1e20])
def test_inputs_that_overflow_are_refused(value) -> None:
    _, inputs = layer()
    inputs[3, 4] = value
    with pytest.raises(UnusableWeightError, match="receives NaN or infinite inputs on the calibration texts"):
        curvature(moments_of(inputs))


@pytest.mark.parametrize("factor", [1e-15, 1e17])
def test_very_small_and_large_inputs_are_as_good_as_others(factor) -> None:
    _, inputs = layer()
    expected = inverse_factor(curvature(moments_of(inputs)), 0.01)
    torch.testing.assert_close(
        inverse_factor(curvature(moments_of(inputs * factor)), 0.01), expected, rtol=1e-3, atol=1e-4
    )


def test_products_that_are_not_positive_definite_are_damped_with_a_warning() -> None:
    """Fewer inputs than units, and no damping; and numbers that differ by more than float32's precision."""
    singular = moments_of(torch.randn(3, 8, generator=torch.Generator().manual_seed(0)))
    with pytest.warns(
        UserWarning, match=r"of a layer's 8 inputs is not positive definite; it was damped by 0\.\d+ instead of 0$"
    ):
        factor = inverse_factor(curvature(singular), 0.0)
    assert bool(factor.isfinite().all())
    negative = torch.eye(8) - 1.5 * torch.ones(8, 8) / 8
    with pytest.warns(UserWarning, match="damped by 1 instead of 0.01"):
        inverse_factor(negative, 0.01)

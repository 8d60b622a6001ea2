"""Rounding to a few bits, against loops over single weights and groups, and torch's observers.

Covers ``compression.forms.rounded_weight`` and ``compression.forms.scaled_integers``.
"""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from models.architectures import logits_of, make_architecture
from torch import Tensor
from torch.ao.quantization import PerChannelMinMaxObserver

from forgetmeter.compression.applying.compressor import Compressor
from forgetmeter.compression.forms.rounded_weight import RoundedWeight
from forgetmeter.compression.forms.unusable_weight import UnusableWeightError
from forgetmeter.compression.forms.weight import DenseWeight
from forgetmeter.compression.methods.round_to_nearest import transform
from forgetmeter.models.loaded import Loaded
from forgetmeter.specs.recipe import parse_recipe


def by_hand(values: Tensor, bits: int, group_size: int) -> Tensor:
    """Round each group by itself, in float32, one number at a time."""
    rounded = torch.zeros(values.shape)
    width = group_size or values.shape[1]
    for row in range(values.shape[0]):
        for start in range(0, values.shape[1], width):
            group = [np.float32(values[row, start + at].item()) for at in range(width)]
            largest = np.float32(max(abs(value) for value in group))
            scale = max(np.float32(largest / np.float32((2**bits - 1) / 2)), np.finfo(np.float32).eps)
            for at, value in enumerate(group):
                integer = min(max(round(float(np.float32(value / scale))), -(2 ** (bits - 1))), 2 ** (bits - 1) - 1)
                rounded[row, start + at] = float(np.float32(np.float32(integer) * scale))
    return rounded


@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    rows=st.integers(1, 4),
    groups=st.integers(1, 3),
    size=st.integers(1, 5),
    bits=st.integers(2, 8),
    exponent=st.integers(-9, 9),
    seed=st.integers(0, 999),
    whole=st.booleans(),
)
def test_every_weight_is_rounded_as_by_hand(
    rows: int, groups: int, size: int, bits: int, exponent: int, seed: int, whole: bool
) -> None:
    values = torch.randn(rows, groups * size, generator=torch.Generator().manual_seed(seed)) * 10.0**exponent
    group_size = 0 if whole else size
    done = transform(DenseWeight(values), bits, {"group_size": group_size, "clip": "max"})
    assert torch.equal(done.values(), by_hand(values, bits, group_size))
    assert (done.bits(), done.scales()) == (bits, rows * (1 if whole else groups))


@pytest.mark.parametrize("bits", range(2, 9))
def test_scales_match_torchs_observers(bits: int) -> None:
    values = torch.randn(7, 24, generator=torch.Generator().manual_seed(bits))
    observer = PerChannelMinMaxObserver(
        dtype=torch.qint8,
        qscheme=torch.per_channel_symmetric,
        quant_min=-(2 ** (bits - 1)),
        quant_max=2 ** (bits - 1) - 1,
    )
    observer(values)
    scales, zero_points = observer.calculate_qparams()
    done = transform(DenseWeight(values), bits, {"group_size": 0, "clip": "max"})
    assert torch.equal(done.factors.flatten(), scales)
    assert not zero_points.any()
    faked = torch.fake_quantize_per_channel_affine(
        values, scales, zero_points.int(), 0, -(2 ** (bits - 1)), 2 ** (bits - 1) - 1
    )
    # torch multiplies by the reciprocal, so a number halfway may round the other way.
    different = ~torch.isclose(done.values(), faked, rtol=1e-6, atol=0)
    assert float(different.float().mean()) < 0.02


@settings(max_examples=30, deadline=None, derandomize=True)
@given(seed=st.integers(0, 99), bits=st.integers(2, 8))
def test_only_clipped_weights_move_by_more_than_half_a_step(seed: int, bits: int) -> None:
    values = torch.randn(3, 12, generator=torch.Generator().manual_seed(seed))
    done = transform(DenseWeight(values), bits, {"group_size": 4, "clip": "max"})
    steps = done.factors.repeat_interleave(4, dim=1)
    clipped = done.integers == 2 ** (bits - 1) - 1
    limit = torch.where(clipped, 0.5001, 0.50001) * steps
    assert bool(((done.values() - values).abs() <= limit).all())
    assert len(done.values()[0, :4].unique()) <= 2**bits


@settings(max_examples=40, deadline=None, derandomize=True)
@given(
    shape=st.tuples(st.integers(1, 2), st.integers(1, 3), st.sampled_from([8, 24])),
    group_size=st.sampled_from([0, 4, 8]),
    bits=st.integers(2, 8),
    exponent=st.integers(-9, 9),
    seed=st.integers(0, 999),
)
def test_clipped_scales_have_the_least_squared_error_of_gptqs_grid(
    shape: tuple[int, ...], group_size: int, bits: int, exponent: int, seed: int
) -> None:
    values = torch.randn(shape, generator=torch.Generator().manual_seed(seed)).pow(3) * 10.0**exponent
    whole, done = (
        transform(DenseWeight(values), bits, {"group_size": group_size, "clip": clip}) for clip in ("max", "mse")
    )
    groups = values.reshape(-1, group_size or shape[-1]).double().numpy()
    scales = zip(whole.factors.flatten().tolist(), done.factors.flatten().tolist(), strict=True)
    for group, dequantized, (largest, chosen) in zip(groups, done.values().view(groups.shape), scales, strict=True):
        errors = {}
        for step in range(int(0.8 * 100)):
            scale = max((1 - step / 100) * largest, float(np.finfo(np.float32).eps))
            integers = np.clip(np.rint(group / scale), -(2 ** (bits - 1)), 2 ** (bits - 1) - 1)
            errors[scale] = float(((integers * scale - group) ** 2).sum())
        assert min(abs(chosen / scale - 1) for scale in errors) < 1e-6
        assert float(((dequantized.double().numpy() - group) ** 2).sum()) <= min(errors.values()) * (1 + 1e-4)


def test_scales_are_searched_in_pieces_with_the_same_result(monkeypatch: pytest.MonkeyPatch) -> None:
    values, options = torch.randn(9, 24, generator=torch.Generator().manual_seed(0)), {"group_size": 8, "clip": "mse"}
    at_once = transform(DenseWeight(values), 3, options)
    monkeypatch.setattr("forgetmeter.compression.methods.round_to_nearest._PIECE", 32)
    in_pieces = transform(DenseWeight(values), 3, options)
    assert torch.equal(at_once.factors, in_pieces.factors)
    assert torch.equal(at_once.integers, in_pieces.integers)


def test_zeros_stay_zero_when_clipped() -> None:
    values = torch.zeros(2, 8)
    values[1, ::2] = -1.0
    done = transform(DenseWeight(values), 4, {"group_size": 4, "clip": "mse"}).values()
    assert torch.equal(done == 0, values == 0)
    assert torch.allclose(done, values, atol=0.01)


@pytest.mark.parametrize("name", ["llama", "gpt2", "gpt_neox", "mixtral"])
def test_layers_are_rounded_output_unit_by_output_unit(name: str) -> None:
    """GPT-2 stores output units as columns; fused layers have a scale per unit anyway; experts are matrices."""
    loaded = Loaded(make_architecture(name), tokenizer=None, family="decoder", name=name)  # type: ignore[arg-type]
    said = logits_of(loaded.model)
    with Compressor(loaded).applied(parse_recipe("round_to_nearest:overall:3:group_size=8")) as result:
        assert not torch.equal(logits_of(loaded.model), said)
        for matrix in {matrix.parameter: matrix for matrix in result.weights}.values():
            before = make_architecture(name).get_parameter(matrix.parameter).detach()
            after = loaded.model.get_parameter(matrix.parameter)
            before, after = (before.t(), after.t()) if matrix.form == "conv1d" else (before, after)
            for old, new in zip(
                before.view(-1, *before.shape[-2:]) if before.dim() == 3 else [before],
                after.view(-1, *after.shape[-2:]) if after.dim() == 3 else [after],
                strict=True,
            ):
                assert torch.equal(new, by_hand(old, 3, 8))
        size = result.reached.selected_weights
        saved = size * 4 - math.ceil(size * 3 / 8) - size // 8 * 4
        assert abs(result.reached.dense_bytes - result.reached.quantized_bytes - saved) < len(result.weights)


def test_parts_of_a_fused_layer_are_rounded_separately() -> None:
    loaded = Loaded(make_architecture("gpt_neox"), tokenizer=None, family="decoder", name="x")  # type: ignore[arg-type]
    all_of_it = Compressor(loaded).compressed(parse_recipe("round_to_nearest:attention:4"))
    query = Compressor(loaded).compressed(parse_recipe("round_to_nearest:attention.query:4"))
    for matrix, weight in query.weights.items():
        assert torch.equal(weight.values(), all_of_it.weights[matrix].values())


def test_pruning_afterwards_keeps_bits_and_scales() -> None:
    loaded = Loaded(make_architecture("gpt2"), tokenizer=None, family="decoder", name="x")  # type: ignore[arg-type]
    before = Compressor(loaded).compressed(parse_recipe("round_to_nearest:feed_forward:4"))
    after = Compressor(loaded).compressed(
        parse_recipe("round_to_nearest:feed_forward:4+l1_unstructured:feed_forward:0.5")
    )
    assert after.reached.quantized_bytes == before.reached.quantized_bytes
    assert after.reached.selected_zeros == round(0.5 * after.reached.selected_weights)
    for matrix, weight in after.weights.items():
        old = before.weights[matrix]
        assert isinstance(weight, RoundedWeight)
        assert isinstance(old, RoundedWeight)
        assert torch.equal(weight.factors, old.factors)
        assert bool(((weight.integers == old.integers) | (weight.integers == 0)).all())


def test_the_model_cannot_be_rounded_twice_and_groups_must_fit() -> None:
    compressor = Compressor(Loaded(make_architecture("llama"), tokenizer=None, family="decoder", name="x"))  # type: ignore[arg-type]
    (problem,) = compressor.check(parse_recipe("round_to_nearest:overall:4+dynamic_int8:attention"))
    assert "quantized weights can only be pruned" in problem
    (problem,) = compressor.check(parse_recipe("round_to_nearest:feed_forward:4:group_size=32"))
    assert ": group_size=32 does not divide the 48 input units of model.layers.0.mlp.down_proj.weight" in problem
    (problem,) = compressor.check(parse_recipe("round_to_nearest:feed_forward:9"))
    assert "from 2 to 8" in problem


def test_non_finite_weights_are_refused() -> None:
    with pytest.raises(UnusableWeightError, match="cannot be quantized"):
        transform(DenseWeight(torch.tensor([[1.0, math.inf]])), 4, {"group_size": 0, "clip": "max"})

"""4-bit NormalFloat, against its published levels and a loop over single weights.

On 28 November 2026, weights of SmolLM2 and random ones were also compared with ``dequantize_4bit(quantize_4bit(…))`` of
bitsandbytes 0.50.2 on a CPU (blocks of 64, no double quantization): all were equal bit for bit. bitsandbytes is no
requirement of the tests.

Covers ``compression.forms.codebook_weight``.
"""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from models.architectures import logits_of, make_architecture
from scipy.stats import norm
from torch import Tensor

from forgetmeter.compression.applying.compressor import Compressor
from forgetmeter.compression.forms.codebook_weight import CodebookWeight
from forgetmeter.compression.forms.unusable_weight import UnusableWeightError
from forgetmeter.compression.forms.weight import DenseWeight
from forgetmeter.compression.methods.nf4 import LEVELS, transform
from forgetmeter.models.loaded import Loaded
from forgetmeter.specs.recipe import parse_recipe


def by_hand(values: Tensor, group_size: int) -> Tensor:
    """Find the nearest level of each weight by trying all."""
    rounded = torch.zeros(values.shape)
    for row, numbers in enumerate(values.float()):
        for start in range(0, len(numbers), group_size):
            group = numbers[start : start + group_size].numpy()
            scale = np.abs(group).max()
            for at, value in enumerate(group):
                nearest = min(LEVELS, key=lambda level: abs(level * float(scale) - float(value)))
                rounded[row, start + at] = float(np.float32(nearest) * scale)
    return rounded


def test_levels_are_quantiles_as_in_the_appendix_of_qlora() -> None:
    """bitsandbytes' ``create_normal_map``: ppf of evenly spaced probabilities, 8 above the median and 7 below."""
    largest = 1 - (1 / 30 + 1 / 32) / 2
    above, below = norm.ppf(np.linspace(0.5, largest, 9))[1:], -norm.ppf(np.linspace(0.5, largest, 8))[1:]
    expected = np.sort(np.concatenate([below, [0.0], above])) / above.max()
    assert pytest.approx(expected, abs=1e-6) == LEVELS
    assert (len(set(LEVELS)), LEVELS[0], LEVELS[7], LEVELS[15]) == (16, -1.0, 0.0, 1.0)


@settings(max_examples=40, deadline=None, derandomize=True)
@given(
    rows=st.integers(1, 3),
    groups=st.integers(1, 3),
    size=st.integers(1, 9),
    exponent=st.integers(-30, 30),
    seed=st.integers(0, 999),
)
def test_every_weight_is_the_nearest_level(rows: int, groups: int, size: int, exponent: int, seed: int) -> None:
    values = torch.randn(rows, groups * size, generator=torch.Generator().manual_seed(seed)) * 10.0**exponent
    done = transform(DenseWeight(values), None, {"group_size": size})
    assert torch.equal(done.values(), by_hand(values, size))
    assert (done.bits(), done.scales()) == (4, rows * groups)
    assert torch.equal(done.transposed().values(), done.values().t())


def test_zeros_and_the_largest_weights_are_exact() -> None:
    values = torch.tensor([[0.0, 0.0, 0.0, 0.0, 3.0, -0.1, 0.0, -3.0]])
    done = transform(DenseWeight(values), None, {"group_size": 4}).values()
    assert done[0, [0, 1, 2, 3, 4, 6, 7]].tolist() == values[0, [0, 1, 2, 3, 4, 6, 7]].tolist()


@pytest.mark.parametrize("name", ["llama", "gpt2", "gpt_neox", "mixtral"])
def test_layers_are_quantized_output_unit_by_output_unit(name: str) -> None:
    """GPT-2 stores output units as columns; experts are matrices."""
    loaded = Loaded(make_architecture(name), tokenizer=None, family="decoder", name=name)  # type: ignore[arg-type]
    said = logits_of(loaded.model)
    with Compressor(loaded).applied(parse_recipe("nf4:overall:group_size=8")) as result:
        assert not torch.equal(logits_of(loaded.model), said)
        for matrix in {matrix.parameter: matrix for matrix in result.weights}.values():
            before = make_architecture(name).get_parameter(matrix.parameter).detach()
            after = loaded.model.get_parameter(matrix.parameter).detach()
            before, after = (before.t(), after.t()) if matrix.form == "conv1d" else (before, after)
            assert torch.equal(after.flatten(0, -2), by_hand(before.flatten(0, -2), 8))
        size = result.reached.selected_weights
        assert result.reached.simulated
        assert result.reached.dense_bytes - result.reached.quantized_bytes == size * 4 - size // 2 - size // 8 * 4


def test_pruning_afterwards_keeps_levels_and_scales() -> None:
    loaded = Loaded(make_architecture("gpt2"), tokenizer=None, family="decoder", name="x")  # type: ignore[arg-type]
    before = Compressor(loaded).compressed(parse_recipe("nf4:feed_forward:group_size=8"))
    after = Compressor(loaded).compressed(
        parse_recipe("nf4:feed_forward:group_size=8+l1_unstructured:feed_forward:0.5")
    )
    assert after.reached.quantized_bytes == before.reached.quantized_bytes
    assert after.reached.selected_zeros == round(0.5 * after.reached.selected_weights)
    for matrix, weight in after.weights.items():
        old = before.weights[matrix]
        assert isinstance(weight, CodebookWeight)
        assert bool(((weight.values() == old.values()) | (weight.values() == 0)).all())


def test_parts_of_a_fused_layer_are_joined_if_their_groups_are_alike() -> None:
    loaded = Loaded(make_architecture("gpt_neox"), tokenizer=None, family="decoder", name="x")  # type: ignore[arg-type]
    prune = "l1_unstructured:attention:0.5:pool=matrix"
    parts = "+".join(f"nf4:attention.{part}:group_size=8" for part in ("query", "key", "value", "output"))
    whole, joined = (
        Compressor(loaded).compressed(parse_recipe(f"{recipe}+{prune}"))
        for recipe in ("nf4:attention:group_size=8", parts)
    )
    for matrix, weight in whole.weights.items():
        assert torch.equal(weight.values(), joined.weights[matrix].values())
    mixed = parse_recipe(f"nf4:attention.query:group_size=8+round_to_nearest:attention.key:4:group_size=8+{prune}")
    assert Compressor(loaded).compressed(mixed).reached.removed_weights > 0


def test_groups_must_fit_and_weights_must_be_finite() -> None:
    compressor = Compressor(Loaded(make_architecture("llama"), tokenizer=None, family="decoder", name="x"))  # type: ignore[arg-type]
    (problem,) = compressor.check(parse_recipe("nf4:feed_forward"))
    assert ": group_size=64 does not divide the 32 input units of model.layers.0.mlp.gate_proj.weight" in problem
    (problem,) = compressor.check(parse_recipe("nf4:feed_forward:4"))
    assert "takes no level" in problem
    with pytest.raises(UnusableWeightError, match="cannot be quantized"):
        transform(DenseWeight(torch.tensor([[1.0, math.nan]])), None, {"group_size": 0})

"""Half-quadratic quantization, against a plain version of its published formulas.

On 28 November 2026, weights of SmolLM2 and random ones, at 2, 3, 4 and 8 bits, were also compared with ``Quantizer`` of
hqq 0.2.8 on a CPU (``axis=1``, groups of 64, float32): all were equal bit for bit. hqq is no requirement of the tests.

Covers ``compression.forms.shifted_weight``.
"""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from models.architectures import logits_of, make_architecture

from forgetmeter.compression.applying.compressor import Compressor
from forgetmeter.compression.forms.shifted_weight import ShiftedWeight
from forgetmeter.compression.forms.unusable_weight import UnusableWeightError
from forgetmeter.compression.forms.weight import DenseWeight
from forgetmeter.compression.methods.hqq import transform
from forgetmeter.models.loaded import Loaded
from forgetmeter.specs.recipe import parse_recipe


def by_hand(groups: np.ndarray, bits: int) -> np.ndarray:
    """Solve ``min ‖w - (q - z)s‖_p`` in float64, rows of groups: errors by shrinkage, then zero points by averages."""
    largest = 2**bits - 1
    scale = (groups.max(1, keepdims=True) - groups.min(1, keepdims=True)) / largest
    zero, before = -groups.min(1, keepdims=True) / scale, math.inf
    for _ in range(20):
        integers = np.clip(np.rint(groups / scale + zero), 0, largest)
        error = groups - scale * (integers - zero)
        with np.errstate(divide="ignore"):
            shrunk = np.sign(error) * np.maximum(np.abs(error) - np.abs(error) ** (0.7 - 1) / 10, 0)
        zero = np.mean(integers - (groups - shrunk) / scale, axis=1, keepdims=True)
        if np.abs(error).mean() >= before:
            break
        before = np.abs(error).mean()
    return scale * (np.clip(np.rint(groups / scale + zero), 0, largest) - zero)


@pytest.mark.parametrize("bits", range(2, 9))
@pytest.mark.parametrize("size", [16, 32, 128])
@pytest.mark.parametrize("power", [1, 3])
def test_weights_are_those_of_the_published_formulas(bits: int, size: int, power: int) -> None:
    values = torch.randn(32, 128, generator=torch.Generator().manual_seed(bits)).pow(power)
    done = transform(DenseWeight(values), bits, {"group_size": size})
    expected = torch.from_numpy(by_hand(values.view(-1, size).double().numpy(), bits)).float().view_as(values)
    # A weight halfway between two integers may be rounded differently in float64.
    assert float(torch.isclose(done.values(), expected, rtol=0, atol=1e-4).float().mean()) > 0.99
    assert (done.bits(), done.scales()) == (bits, 2 * values.numel() // size)
    assert torch.equal(done.transposed().values(), done.values().t())


def test_errors_are_smaller_than_without_optimizing() -> None:
    values = torch.randn(64, 128, generator=torch.Generator().manual_seed(0)).pow(3)
    done = transform(DenseWeight(values), 3, {"group_size": 64})
    low, high = values.view(-1, 64).aminmax(dim=1, keepdim=True)
    scale = (high - low) / 7
    plain = ((values.view(-1, 64) - low) / scale).round() * scale + low
    errors, before = (done.values() - values).abs(), (plain.view_as(values) - values).abs()
    assert float(errors.pow(0.7).sum()) < 0.9 * float(before.pow(0.7).sum())


def test_experts_are_matrices_of_their_own() -> None:
    values = torch.randn(3, 8, 32, generator=torch.Generator().manual_seed(0))
    together = transform(DenseWeight(values), 3, {"group_size": 16}).values()
    for expert, done in zip(values, together, strict=True):
        assert torch.equal(transform(DenseWeight(expert), 3, {"group_size": 16}).values(), done)


def test_many_zeros_stay_zero_and_take_one_bit() -> None:
    values = torch.randn(16, 64, generator=torch.Generator().manual_seed(0))
    values[:, :7] = 0
    done = transform(DenseWeight(values), 4, {"group_size": 64})
    assert torch.equal(done.values() == 0, values == 0)
    assert done.bits() == 5
    values = torch.where(values == 0, 1.0, values)
    values[0, 0] = 0
    done = transform(DenseWeight(values), 4, {"group_size": 64})
    assert done.bits() == 4
    assert not bool((done.values() == 0).any())


@pytest.mark.parametrize("name", ["llama", "gpt2", "gpt_neox", "mixtral"])
def test_pruning_afterwards_keeps_the_other_weights(name: str) -> None:
    loaded = Loaded(make_architecture(name), tokenizer=None, family="decoder", name="x")  # type: ignore[arg-type]
    said = logits_of(loaded.model)
    before = Compressor(loaded).compressed(parse_recipe("hqq:overall:4:group_size=8"))
    with Compressor(loaded).applied(parse_recipe("hqq:overall:4:group_size=8")):
        assert not torch.equal(logits_of(loaded.model), said)
    after = Compressor(loaded).compressed(parse_recipe("hqq:overall:4:group_size=8+l1_unstructured:overall:0.5"))
    size = after.reached.selected_weights
    assert before.reached.simulated
    assert before.reached.dense_bytes - before.reached.quantized_bytes == size * 4 - size // 2 - size // 8 * 8
    assert after.reached.quantized_bytes == before.reached.quantized_bytes + size // 8
    assert after.reached.selected_zeros == round(0.5 * size)
    for matrix, weight in after.weights.items():
        old = before.weights[matrix].values()
        assert bool(((weight.values() == old) | (weight.values() == 0)).all())


def test_parts_are_joined_if_they_are_alike() -> None:
    values = torch.randn(8, 16, generator=torch.Generator().manual_seed(0))
    whole = transform(DenseWeight(values), 4, {"group_size": 8})
    parts = [(((0, 3),), whole.part(0, ((0, 3),))), (((3, 8),), whole.part(0, ((3, 8),)))]
    joined = parts[0][1].join(0, parts)
    assert isinstance(joined, ShiftedWeight)
    assert torch.equal(joined.values(), whole.values())
    pruned = parts[1][1].masked(torch.eye(5, 16, dtype=torch.bool))
    assert parts[0][1].can_join(parts[1][1])
    assert not parts[0][1].can_join(pruned)


def test_groups_must_fit_and_weights_must_be_finite() -> None:
    compressor = Compressor(Loaded(make_architecture("llama"), tokenizer=None, family="decoder", name="x"))  # type: ignore[arg-type]
    (problem,) = compressor.check(parse_recipe("hqq:feed_forward:4"))
    assert ": group_size=64 does not divide the 32 input units of model.layers.0.mlp.gate_proj.weight" in problem
    with pytest.raises(UnusableWeightError, match="cannot be quantized"):
        transform(DenseWeight(torch.tensor([[1.0, math.nan]])), 4, {"group_size": 0})

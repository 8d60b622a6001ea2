"""Rank reduction, against numpy's decomposition.

Covers ``compression.forms.low_rank_weight``.
"""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from models.architectures import logits_of, make_architecture

from forgetmeter.compression.applying.compressor import Compressor
from forgetmeter.compression.forms.low_rank_weight import LowRankWeight
from forgetmeter.compression.forms.unusable_weight import UnusableWeightError
from forgetmeter.compression.forms.weight import DenseWeight
from forgetmeter.compression.methods.svd import transform
from forgetmeter.models.loaded import Loaded
from forgetmeter.specs.recipe import parse_recipe


@pytest.mark.parametrize("level", [0, 0.1, 0.5, 0.9, 1])
@pytest.mark.parametrize("shape", [(9, 12), (12, 9), (3, 6, 5)])
def test_the_nearest_matrix_of_that_rank_remains(shape: tuple[int, ...], level: float) -> None:
    values = torch.randn(shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    done = transform(DenseWeight(values), level, {})
    full = min(shape[-2:])
    assert done.rank == full - round(level * full)
    for old, new in zip(values.view(-1, *shape[-2:]).numpy(), done.values().view(-1, *shape[-2:]).numpy(), strict=True):
        left, singular, right = np.linalg.svd(old, full_matrices=False)
        singular[done.rank :] = 0
        np.testing.assert_allclose(new, left @ np.diag(singular) @ right, atol=1e-12)
        assert np.linalg.matrix_rank(new, tol=1e-9) == done.rank


def test_level_0_changes_nothing_and_the_dtype_is_kept() -> None:
    values = torch.randn(6, 8, generator=torch.Generator().manual_seed(1)).to(torch.bfloat16)
    assert torch.equal(transform(DenseWeight(values), 0, {}).values(), values)
    assert transform(DenseWeight(values), 0.5, {}).values().dtype == torch.bfloat16


@pytest.mark.parametrize("name", ["llama", "gpt2", "gpt_neox"])
def test_a_whole_layer_is_one_matrix(name: str) -> None:
    """Parts of a fused parameter that are selected together are decomposed together."""
    loaded = Loaded(make_architecture(name), tokenizer=None, family="decoder", name=name)  # type: ignore[arg-type]
    said = logits_of(loaded.model)
    with Compressor(loaded).applied(parse_recipe("svd:attention:0.75")) as result:
        for parameter in {matrix.parameter for matrix in result.weights}:
            weight = loaded.model.get_parameter(parameter)
            assert np.linalg.matrix_rank(weight.detach().numpy(), tol=1e-4) == min(weight.shape) // 4
        assert not torch.equal(logits_of(loaded.model), said)
    assert torch.equal(logits_of(loaded.model), said)


def test_pruned_afterwards_it_is_plain_and_quantized_it_is_quantized() -> None:
    loaded = Loaded(make_architecture("gpt2"), tokenizer=None, family="decoder", name="x")  # type: ignore[arg-type]
    compressor = Compressor(loaded)
    pruned = compressor.compressed(parse_recipe("svd:overall:0.5+l1_unstructured:overall:0.3"))
    for weight in pruned.weights.values():
        bare = weight.standalone()
        assert not isinstance(bare, LowRankWeight)
    assert pruned.reached.selected_zeros == round(0.3 * pruned.reached.selected_weights)
    assert compressor.check(parse_recipe("svd:overall:0.5+dynamic_int8:overall")) == []
    assert len(compressor.check(parse_recipe("dynamic_int8:overall+svd:overall:0.5"))) == 1


def test_non_finite_weights_are_refused() -> None:
    with pytest.raises(UnusableWeightError, match="cannot be decomposed"):
        transform(DenseWeight(torch.tensor([[1.0, math.nan]])), 0.5, {})


def test_factors_of_16_bit_weights_take_32_bits() -> None:
    """Rounded to 16 bits, they would have another product."""
    torch.manual_seed(0)
    values = torch.randn(64, 96).to(torch.bfloat16)
    weight = transform(DenseWeight(values), 0.9, {})
    assert weight.rank == 6
    assert weight.smallest_bytes(2 * values.numel()) == 4 * 6 * (64 + 96)
    left, singular, right = torch.linalg.svd(weight.values().float(), full_matrices=False)
    rounded = (left[:, :6] * singular[:6]).bfloat16().float() @ right[:6].bfloat16().float()
    assert not torch.equal(rounded.bfloat16(), weight.values())

"""Magnitude pruning, against torch.nn.utils.prune and a stable sort.

Covers ``compression.ranking.pools`` and ``compression.forms.unusable_weight``.
"""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn.utils import prune

from forgetmeter.compression.applying.unit import Unit
from forgetmeter.compression.forms.int8_weight import Int8Weight, quantize
from forgetmeter.compression.forms.unusable_weight import UnusableWeightError
from forgetmeter.compression.forms.weight import DenseWeight
from forgetmeter.compression.methods import l1_unstructured
from forgetmeter.compression.methods.l1_unstructured import METHOD

GLOBAL = {"pool": "global"}
MATRIX = {"pool": "matrix"}
LEVELS = (0, 0.1, 0.25, 1 / 3, 0.5, 0.77, 0.999, 1)


def matrices(*, seed=0, dtype=torch.float32):
    generator = torch.Generator().manual_seed(seed)
    shapes = ((8, 6), (5, 13), (1, 7), (16, 16))
    # Distinct magnitudes, in random order over all matrices.
    total = sum(rows * columns for rows, columns in shapes)
    order = torch.randperm(total, generator=generator).to(torch.float64) + 1
    signs = torch.randint(0, 2, (total,), generator=generator) * 2 - 1
    parts = (order * signs / total).to(dtype).split([rows * columns for rows, columns in shapes])
    return [part.view(shape) for part, shape in zip(parts, shapes, strict=True)]


def pruned(tensors, level, options=GLOBAL):
    at_level = METHOD.prepare([Unit.of(DenseWeight(tensor)) for tensor in tensors], options, seed=0)
    return [weight.values() for weight in at_level(level)]


@pytest.mark.parametrize("level", [level for level in LEVELS if isinstance(level, float)])
def test_survivors_are_those_of_global_unstructured(level):
    tensors = matrices()
    modules = []
    for tensor in tensors:
        module = nn.Linear(tensor.shape[1], tensor.shape[0], bias=False)
        module.weight = nn.Parameter(tensor.clone())
        modules.append(module)
    prune.global_unstructured(
        [(module, "weight") for module in modules], pruning_method=prune.L1Unstructured, amount=level
    )
    for module, values in zip(modules, pruned(tensors, level), strict=True):
        assert torch.equal(values, module.weight)


@pytest.mark.parametrize("level", [0.1, 0.5, 0.9])
def test_separate_pools_match_l1_unstructured_of_each(level):
    tensors = matrices()
    for tensor, values in zip(tensors, pruned(tensors, level, MATRIX), strict=True):
        module = nn.Linear(tensor.shape[1], tensor.shape[0], bias=False)
        module.weight = nn.Parameter(tensor.clone())
        prune.l1_unstructured(module, "weight", amount=level)
        assert torch.equal(values, module.weight)


@settings(max_examples=50, deadline=None, derandomize=True)
@given(
    st.lists(st.lists(st.integers(-3, 3), min_size=1, max_size=12), min_size=1, max_size=4),
    st.floats(0, 1),
    st.sampled_from([torch.float32, torch.bfloat16, torch.float16, torch.float64]),
    st.sampled_from(["global", "matrix"]),
)
def test_exactly_the_rounded_share_is_pruned_with_ties_in_order(rows, level, dtype, pool):
    tensors = [torch.tensor([row], dtype=dtype) for row in rows]
    survivors_at = l1_unstructured.rank(tensors, {"pool": pool}, seed=0)
    pools = [tensors] if pool == "global" else [[tensor] for tensor in tensors]
    expected = []
    for members in pools:
        flat = torch.cat([tensor.view(-1) for tensor in members]).double().abs()
        keep = torch.ones_like(flat, dtype=torch.bool)
        keep[flat.argsort(stable=True)[: round(level * flat.numel())]] = False
        expected.extend(keep.split([tensor.numel() for tensor in members]))
    for tensor, keep, wanted in zip(tensors, survivors_at(level), expected, strict=True):
        mask = keep if isinstance(keep, torch.Tensor) else keep.mask(tensor)
        assert torch.equal(mask.view(-1), wanted)
    for tensor, values, wanted in zip(tensors, pruned(tensors, level, {"pool": pool}), expected, strict=True):
        assert torch.equal(values.view(-1), torch.where(wanted, tensor.view(-1), 0))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32, torch.float64])
def test_pruning_by_threshold_matches_a_mask_bit_for_bit(dtype):
    """For all kinds of weights: infinite, subnormal, negative zero, transposed, with and without ties."""
    tiny = torch.finfo(dtype).smallest_normal / 2
    special = torch.tensor([float("inf"), -float("inf"), tiny, -tiny, -0.0, 0.0, 1.0, -1.0], dtype=dtype)
    tensor = torch.cat([special, torch.randn(56, dtype=torch.float64).to(dtype)]).view(8, 8).t()
    survivors_at = l1_unstructured.rank([tensor, tensor], GLOBAL, seed=0)
    for level in LEVELS:
        for keep in survivors_at(level):
            if not isinstance(keep, torch.Tensor):
                expected = DenseWeight(tensor).masked(keep.mask(tensor)).tensor
                found = keep.of(DenseWeight(tensor)).values()
                assert found.is_contiguous()
                assert torch.equal(found.view(torch.uint8), expected.view(torch.uint8))


@pytest.mark.parametrize("options", [GLOBAL, MATRIX])
def test_levels_of_one_ranking_match_separate_rankings(options):
    tensors = matrices(seed=3)
    at_level = METHOD.prepare([Unit.of(DenseWeight(tensor)) for tensor in tensors], options, seed=0)
    for level in (*LEVELS, *reversed(LEVELS)):
        together = [weight.values() for weight in at_level(level)]
        for one, other in zip(together, pruned(tensors, level, options), strict=True):
            assert torch.equal(one, other)


def test_pruning_twice_is_pruning_once():
    once = pruned(matrices(), 0.4)
    for one, other in zip(once, pruned(once, 0.4), strict=True):
        assert torch.equal(one, other)


def test_lower_levels_keep_what_higher_ones_keep():
    tensors = matrices()
    for low, high in zip(pruned(tensors, 0.3), pruned(tensors, 0.6), strict=True):
        assert not ((low == 0) & (high != 0)).any()


def test_the_input_is_unchanged():
    tensors = matrices()
    before = [tensor.clone() for tensor in tensors]
    pruned(tensors, 0.5)
    assert all(torch.equal(tensor, old) for tensor, old in zip(tensors, before, strict=True))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
def test_the_dtype_is_kept(dtype):
    assert all(values.dtype == dtype for values in pruned(matrices(dtype=dtype), 0.5))


def test_quantized_weights_are_pruned_by_their_integers():
    quantized = [quantize(tensor) for tensor in matrices()]
    done = list(METHOD.prepare([Unit.of(weight) for weight in quantized], GLOBAL, seed=0)(0.5))
    size = sum(weight.integers.numel() for weight in quantized)
    for weight, old in zip(done, quantized, strict=True):
        assert isinstance(weight, Int8Weight)
        assert torch.equal(weight.factors, old.factors)
        assert ((weight.integers == old.integers) | (weight.integers == 0)).all()
    assert sum(int((weight.integers == 0).sum()) for weight in done) >= round(0.5 * size)


@pytest.mark.parametrize("options", [GLOBAL, MATRIX])
def test_nan_is_refused_by_position(options):
    tensors = [torch.ones(2, 2), torch.tensor([[1.0, float("nan")]])]
    with pytest.raises(UnusableWeightError) as caught:
        pruned(tensors, 0.5, options)
    assert caught.value.position == 1

"""Random pruning, against torch.nn.utils.prune with the same seed.

Covers ``compression.methods.random_unstructured`` and ``compression.methods.random_structured``.
"""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from models.architectures import make_architecture
from torch import Tensor
from torch.nn.utils import prune

from forgetmeter.compression.applying.compressor import Compressor
from forgetmeter.compression.methods import random_structured, random_unstructured
from forgetmeter.models.loaded import Loaded
from forgetmeter.specs.recipe import parse_recipe

LEVELS = (0.1, 0.25, 0.5, 0.9, 1.0)


def loaded(name: str, dtype: torch.dtype = torch.float32) -> Loaded:
    model = make_architecture(name).to(dtype)
    return Loaded(model, tokenizer=None, family="decoder", name=name)  # type: ignore[arg-type]


def ours(name: str, recipe: str, seed: int, dtype: torch.dtype = torch.float32) -> dict[str, Tensor]:
    result = Compressor(loaded(name, dtype), seed=seed).compressed(parse_recipe(recipe))
    return {matrix.parameter: weight.values() for matrix, weight in result.weights.items()}


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("seed", [0, 7])
def test_random_unstructured_matches_torch(level: float, seed: int) -> None:
    for name in ("llama", "gpt2"):
        model = loaded(name).model
        found = ours(name, f"random_unstructured:feed_forward:{level}", seed)
        assert len(found) >= 4
        torch.manual_seed(seed)
        for parameter, values in found.items():
            module = model.get_submodule(parameter.removesuffix(".weight"))
            prune.random_unstructured(module, "weight", amount=level)
            assert torch.equal(values, module.weight)


@pytest.mark.parametrize("recipe", ["random_unstructured:overall:0.3", "random_structured:overall:0.3"])
def test_the_selection_does_not_depend_on_the_dtype(recipe: str) -> None:
    """A study computes in float32 by default, ``compress`` in the file's dtype; both must prune the same weights."""
    for parameter, values in ours("llama", recipe, 3).items():
        assert torch.equal(ours("llama", recipe, 3, torch.bfloat16)[parameter] == 0, values == 0)


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("dim", [0, 1])
def test_random_structured_matches_torch(level: float, dim: int) -> None:
    for name, stored_dim in (("llama", dim), ("gpt2", 1 - dim)):
        model = loaded(name).model
        found = ours(name, f"random_structured:feed_forward:{level}:dim={dim}", 3)
        torch.manual_seed(3)
        for parameter, values in found.items():
            module = model.get_submodule(parameter.removesuffix(".weight"))
            prune.random_structured(module, "weight", amount=level, dim=stored_dim)
            assert torch.equal(values, module.weight)


def test_a_tied_head_is_pruned_as_torch_prunes_it_and_the_embedding_stays() -> None:
    model = loaded("llama_tied").model
    embedding = model.get_input_embeddings().weight
    before = embedding.detach().clone()
    torch.manual_seed(5)
    reference = torch.nn.Linear(*reversed(before.shape), bias=False)
    reference.weight = torch.nn.Parameter(before.clone())
    torch.manual_seed(5)
    prune.random_structured(reference, "weight", amount=0.3, dim=0)
    kept = Loaded(model, tokenizer=None, family="decoder", name="tied")  # type: ignore[arg-type]
    with Compressor(kept, seed=5).applied(parse_recipe("random_structured:head:0.3")):
        assert torch.equal(model.lm_head.weight, reference.weight)
        assert torch.equal(model.get_input_embeddings().weight, before)
    assert model.lm_head.weight is embedding


shapes = st.lists(st.tuples(st.integers(1, 6), st.integers(1, 7)), min_size=1, max_size=4)


@settings(max_examples=50, deadline=None, derandomize=True)
@given(shapes=shapes, level=st.floats(0, 1), seed=st.integers(0, 99))
def test_counts_are_exact_and_seeds_reproduce(shapes: list[tuple[int, int]], level: float, seed: int) -> None:
    tensors = [torch.ones(shape) for shape in shapes]
    single = list(random_unstructured.rank(tensors, {}, seed=seed)(level))
    rows = list(random_structured.rank(tensors, {"dim": 0}, seed=seed)(level))
    for (height, width), one, row in zip(shapes, single, rows, strict=True):
        assert int((~one).sum()) == round(level * height * width)
        assert int((~row).sum()) == round(level * height) * width
        assert all(each.all() or not each.any() for each in row)
    for again, first in (
        (random_unstructured.rank(tensors, {}, seed=seed)(level), single),
        (random_structured.rank(tensors, {"dim": 0}, seed=seed)(level), rows),
    ):
        assert all(torch.equal(one, other) for one, other in zip(again, first, strict=True))


def test_seeds_differ_and_the_global_stream_is_left_alone() -> None:
    tensors = [torch.ones(20, 20)]
    torch.manual_seed(1)
    state = torch.get_rng_state()
    masks = [next(random_unstructured.rank(tensors, {}, seed=seed)(0.5)) for seed in (0, 1)]
    units = [next(random_structured.rank(tensors, {"dim": 1}, seed=seed)(0.5)) for seed in (0, 1)]
    assert not torch.equal(*masks)
    assert not torch.equal(*units)
    assert torch.equal(torch.get_rng_state(), state)


def test_higher_levels_zero_all_that_lower_ones_do() -> None:
    tensors = [torch.ones(9, 8), torch.ones(3, 5)]
    for masks_at in (
        random_unstructured.rank(tensors, {}, seed=2),
        random_structured.rank(tensors, {"dim": 0}, seed=2),
    ):
        for low, high in zip(masks_at(0.3), masks_at(0.7), strict=True):
            assert not (high & ~low).any()
            assert not torch.equal(low, high)

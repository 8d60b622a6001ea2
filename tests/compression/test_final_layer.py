"""The paper's final-layer recipes, against torch's pruning of a copy of the head.

Covers ``compression.surgery.untying`` and ``specs.preset``.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

import pytest
import torch
from models.architectures import logits_of, make_architecture
from torch import Tensor, nn
from torch.nn.utils import prune

from forgetmeter.compression.applying.compressor import Compressor, compress
from forgetmeter.models.loaded import Loaded
from forgetmeter.specs.preset import preset_recipes
from forgetmeter.specs.recipe import Recipe

RECIPES = preset_recipes("paper/final_layer")
TIED = ("llama_tied", "bert", "t5", "gpt2", "bart")


@cache
def loaded(name: str) -> Loaded:
    return Loaded(make_architecture(name), tokenizer=None, family="decoder", name=name)  # type: ignore[arg-type]


def pruned_by_torch(weight: Tensor, recipe: Recipe) -> Tensor:
    (step,) = recipe.steps
    head = nn.Linear(weight.shape[1], weight.shape[0], bias=False)
    head.weight = nn.Parameter(weight.detach().clone())
    torch.manual_seed(0)
    options = {"ln_structured": {"n": 1, "dim": 0}, "random_structured": {"dim": 0}}.get(step.method, {})
    getattr(prune, step.method)(head, "weight", amount=float(step.level or 0), **options)
    pruned: Tensor = head.weight.detach()
    return pruned


@pytest.mark.parametrize("name", TIED)
def test_heads_are_pruned_as_by_torch_and_embeddings_are_kept(name: str) -> None:
    model = loaded(name).model
    embedding = model.get_input_embeddings().weight
    before = embedding.detach().clone()
    assert model.get_output_embeddings().weight is embedding
    compressor = Compressor(loaded(name))
    said = logits_of(model)
    for recipe in RECIPES:
        with compressor.applied(recipe) as result:
            assert torch.equal(model.get_output_embeddings().weight, pruned_by_torch(before, recipe))
            assert model.get_input_embeddings().weight is embedding
            assert torch.equal(embedding, before)
            assert not torch.equal(logits_of(model), said)
            assert result.reached.selected_weights == before.numel()
        assert model.get_output_embeddings().weight is embedding
    assert torch.equal(logits_of(model), said)


@pytest.mark.parametrize("name", TIED)
@pytest.mark.parametrize("recipe", RECIPES[4::9], ids=str)
def test_embeddings_survive_saving_and_loading(name: str, recipe: Recipe, tmp_path: Path) -> None:
    before = loaded(name).model.get_input_embeddings().weight.detach().clone()
    other = compress(loaded(name), recipe).model
    other.save_pretrained(tmp_path)
    reloaded = type(other).from_pretrained(tmp_path).eval()
    assert torch.equal(reloaded.get_input_embeddings().weight, before)
    assert torch.equal(reloaded.get_output_embeddings().weight, pruned_by_torch(before, recipe))
    assert torch.equal(logits_of(reloaded), logits_of(other))

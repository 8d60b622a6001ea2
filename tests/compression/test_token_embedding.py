"""Compressed token embeddings, against models whose embedding was changed in place by a plain loop."""

from __future__ import annotations

import pytest
import torch
from models.architectures import ARCHITECTURES, logits_of, make_architecture
from models.wrappers import make_wrapper
from torch import Tensor
from transformers import PreTrainedModel

from forgetmeter.compression.applying.compressor import Compressor
from forgetmeter.compression.applying.recipe_problems import recipe_problems
from forgetmeter.models.loaded import Loaded
from forgetmeter.models.roles.weight_map import weight_map
from forgetmeter.specs.recipe import parse_recipe

WRAPPERS = ("qwen2_vl", "llava")


def make(name: str) -> PreTrainedModel:
    return make_wrapper(name) if name in WRAPPERS else make_architecture(name)


def as_loaded(model: PreTrainedModel, name: str) -> Loaded:
    return Loaded(model, tokenizer=None, family="decoder", name=name)  # type: ignore[arg-type]


def rounded_rows(weight: Tensor, bits: int) -> Tensor:
    """Round each row to integers times the scale at which its largest magnitude is half the range."""
    rows = []
    for row in weight:
        scale = float(row.abs().max()) / ((2**bits - 1) / 2)
        scale = scale or 1.0
        rows.append((row / scale).round().clamp(-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) * scale)
    return torch.stack(rows)


@pytest.mark.parametrize("name", [*ARCHITECTURES, *WRAPPERS])
def test_a_text_is_read_with_the_compressed_embedding_and_a_tied_head_follows(name: str) -> None:
    model, changed = make(name), make(name)
    said = logits_of(model)
    with torch.no_grad():
        embedding = changed.get_input_embeddings().weight
        embedding.copy_(rounded_rows(embedding, 3))
    shared = model.get_output_embeddings()
    was_tied = shared is not None and getattr(shared, "weight", None) is model.get_input_embeddings().weight
    with Compressor(as_loaded(model, name)).applied(parse_recipe("round_to_nearest:token_embedding:3")) as compressed:
        torch.testing.assert_close(model.get_input_embeddings().weight.data, embedding.data, rtol=0, atol=1e-6)
        torch.testing.assert_close(logits_of(model), logits_of(changed), rtol=0, atol=1e-4)
        assert not torch.equal(logits_of(model), said)
        if was_tied:
            assert model.get_output_embeddings().weight is model.get_input_embeddings().weight
        reached = compressed.reached
        assert reached.selected_weights == embedding.numel()
        # 3 bits per weight and a scale per row instead of 32 bits per weight.
        rows, columns = embedding.shape
        assert (
            reached.dense_bytes - reached.quantized_bytes
            == 4 * rows * columns - (-(-rows * columns * 3 // 8)) - 4 * rows
        )
    assert torch.equal(logits_of(model), said)


def test_a_tied_head_may_get_weights_of_its_own_in_the_same_recipe() -> None:
    model = make("llama_tied")
    weight = model.get_input_embeddings().weight.detach().clone()
    recipe = parse_recipe("round_to_nearest:token_embedding:3+l1_unstructured:head:0.5")
    with Compressor(as_loaded(model, "tied")).applied(recipe):
        torch.testing.assert_close(model.get_input_embeddings().weight.data, rounded_rows(weight, 3), rtol=0, atol=1e-6)
        head = model.get_output_embeddings().weight
        assert int((head == 0).sum()) == weight.numel() // 2
        assert torch.equal(head[head != 0], weight[head != 0])
    assert model.get_output_embeddings().weight is model.get_input_embeddings().weight


def test_no_name_pattern_selects_it() -> None:
    matrices = weight_map(make("llama"))
    assert not any(
        matrix.is_lookup for matrix in parse_recipe("l1_unstructured:regex(.):0.5").steps[0].scope.select(matrices)
    )


@pytest.mark.parametrize("method", ["dynamic_int8", "svd", "ln_structured"])
def test_methods_for_layers_refuse_it(method: str) -> None:
    level = "" if method == "dynamic_int8" else ":0.5"
    (problem,) = recipe_problems(parse_recipe(f"{method}:token_embedding{level}"), weight_map(make("llama")))
    assert "embed_tokens.weight is the token embedding, of which a text looks up rows" in problem

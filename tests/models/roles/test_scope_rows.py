"""How much each scope selects, against counts from the configuration."""

from __future__ import annotations

import pytest
import torch
from models.architectures import ARCHITECTURES, HIDDEN, INNER, LAYERS, VOCABULARY, make_architecture
from models.wrappers import WRAPPERS, make_wrapper
from scoring.batch_invariance.configurations import CONFIGURATIONS, small_options
from torch import nn
from transformers import DogeConfig, DogeForCausalLM, Gemma4ForCausalLM, Gemma4TextConfig

from forgetmeter.models.roles.scope_rows import Row, ScopeRows, rows_of_model, scope_rows
from forgetmeter.specs.role import Matrix, Role

SQUARE = HIDDEN * HIDDEN


def rows_of(name: str) -> ScopeRows:
    with torch.device("meta"):
        return rows_of_model(make_architecture(name))


def weights(rows: tuple[Row, ...]) -> dict[str, tuple[int, int]]:
    return {row.name: (row.matrices, row.weights) for row in rows}


def test_shares_are_of_all_weights_with_each_storage_counted_once() -> None:
    rows = rows_of("bert")
    total = sum(parameter.numel() for parameter in make_architecture("bert").parameters())
    counted = weights(rows.scopes)
    assert counted["attention"] == (4 * LAYERS, 4 * LAYERS * SQUARE)
    assert counted["paper/attention"] == (3 * LAYERS, 3 * LAYERS * SQUARE)
    assert counted["head"] == counted["token_embedding"] == (1, VOCABULARY * HIDDEN)
    assert counted["head_transform"] == (1, SQUARE)
    assert all(row.share == row.weights / total for row in (*rows.scopes, *rows.left_alone))
    assert weights(rows.left_alone) == {
        "other embedding": (2, (64 + 2) * HIDDEN),
    }
    assert set(rows.empty) == {"cross_attention", "feed_forward.gate"}
    assert (rows.unknown, rows.tied_to) == ((), "bert.embeddings.word_embeddings.weight")


def test_two_stacks_are_counted_separately() -> None:
    counted = weights(rows_of("t5").scopes)
    assert counted["encoder/overall"] == (6 * LAYERS, LAYERS * (4 * SQUARE + 2 * HIDDEN * INNER))
    assert counted["decoder/overall"] == (10 * LAYERS, LAYERS * (8 * SQUARE + 2 * HIDDEN * INNER))
    assert "encoder/overall" not in weights(rows_of("gpt2").scopes)


def test_parts_of_fused_parameters_are_counted_as_matrices() -> None:
    assert weights(rows_of("gpt2").scopes)["attention.query"] == (LAYERS, LAYERS * SQUARE)


ROWS = ("attention", "feed_forward", "mixer", "head", "head_transform", "embedding_projection", "token_embedding")
"""The scopes that select different weights, and together all of known role."""


HEAD_FIRST = "xlm-roberta as encoder"
"""It lists the weight that head and embedding share under the head's name."""


@pytest.mark.parametrize("name", [*ARCHITECTURES, *WRAPPERS, HEAD_FIRST])
def test_each_matrix_is_in_one_row_or_left_alone(name: str) -> None:
    with torch.device("meta"):
        make = make_wrapper if name in WRAPPERS else make_architecture
        model = CONFIGURATIONS[name].model() if name == HEAD_FIRST else make(name)
    rows = rows_of_model(model)
    counted = weights(rows.scopes)
    found = sum(counted[row][1] for row in ROWS if row in counted) + sum(row.weights for row in rows.left_alone)
    tied = counted["head"][1] if rows.tied_to else 0
    assert rows.unknown == ()
    assert found - tied == sum(each.numel() for each in model.parameters() if each.dim() > 1)


def test_projections_between_embedding_and_hidden_size_have_a_scope() -> None:
    assert weights(rows_of("albert").scopes)["embedding_projection"] == (1, 16 * HIDDEN)
    layers = make_architecture("albert").config.num_hidden_layers
    assert (rows_of("albert").shared, rows_of("bert").shared) == ((1, layers), None)
    assert layers > 1
    with torch.device("meta"):
        longcat = next(each for name, each in CONFIGURATIONS.items() if name.startswith("longcat_flash"))
        assert rows_of_model(longcat.model()).shared is None
    assert "embedding_projection" not in rows_of("bert").empty


def test_unknown_weights_are_named() -> None:
    model = make_architecture("llama")
    model.model.layers[0].extra = nn.Linear(3, 4)
    model.model.layers[0].mlp.extra = nn.Linear(3, 4)
    rows = rows_of_model(model)
    assert rows.unknown == ("model.layers.0.extra.weight",)
    assert rows.without_part == ("model.layers.0.mlp.extra.weight",)
    assert rows.components_without_part == ("feed_forward",)
    # A recipe with any other scope is refused.
    assert [row.name for row in rows.scopes] == ["head"]
    assert rows.empty == ()


def test_it_needs_no_model() -> None:
    query = Matrix("q.weight", Role("attention", "query", "self"), (2, 3), "decoder", 0)
    rows = scope_rows([query], [("router of experts", 4), ("router of experts", 4)], 20)
    assert rows.scopes[0] == Row("attention", 1, 6, 0.3)
    assert rows.left_alone == (Row("router of experts", 2, 8, 0.4),)
    assert rows.tied_to is None
    assert scope_rows([], [], 0).scopes == ()


def test_keys_that_are_also_the_values_are_named() -> None:
    """Gemma 4's full attention has no value projection then."""
    sizes = small_options(Gemma4TextConfig(), {"num_kv_shared_layers": 0})
    for is_shared in (False, True):
        config = Gemma4TextConfig(**sizes | {"attention_k_eq_v": is_shared})
        with torch.device("meta"):
            rows = rows_of_model(Gemma4ForCausalLM(config))
        full = [place for place, kind in enumerate(config.layer_types) if kind == "full_attention"]
        keys = tuple(f"model.layers.{place}.self_attn.k_proj.weight" for place in full)
        assert keys
        assert rows.keys_and_values == (keys if is_shared else ())
        assert dict(weights(rows.scopes))["attention.key"][0] == len(config.layer_types)
    for name in ("bert", "gpt2", "t5"):
        assert not rows_of(name).keys_and_values


def test_scopes_of_a_part_that_recipes_refuse_are_not_listed() -> None:
    model = make_architecture("llama")
    model.model.layers[0].self_attn.extra = nn.Linear(3, 4)
    rows = rows_of_model(model)
    names = [*(row.name for row in rows.scopes), *rows.empty]
    assert "attention" in names
    assert "feed_forward.up" in names
    assert not any(name.startswith("attention.") for name in names)
    assert rows.without_part == ("model.layers.0.self_attn.extra.weight",)


def test_experts_that_are_looked_up_are_no_embedding() -> None:
    config = DogeConfig(
        vocab_size=64,
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=1,
        num_attention_heads=4,
        is_moe=True,
        num_experts=16,
        num_experts_per_tok=4,
    )
    with torch.device("meta"):
        rows = rows_of_model(DogeForCausalLM(config))
    assert weights(rows.left_alone)["experts that are looked up"] == (2, 2 * 16 * 32)

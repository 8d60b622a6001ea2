"""Roles of weights in every architecture, against configurations and module names.

Covers ``models.roles.output_head`` and ``models.roles.role_names``.
"""

from __future__ import annotations

import re
from collections import Counter
from functools import cache
from typing import Any

import pytest
import torch
from models.architectures import (
    ARCHITECTURES,
    ENCODER_DECODERS,
    HIDDEN,
    INNER,
    LAYERS,
    VOCABULARY,
    logits_of,
    make_architecture,
)
from models.wrappers import SPECIAL, make_wrapper
from scoring.batch_invariance.configurations import CONFIGURATIONS, Configuration
from torch import nn
from transformers import BertConfig, EncoderDecoderConfig, EncoderDecoderModel, PreTrainedModel

from forgetmeter.compression.applying.recipe_problems import unknown_role_problem
from forgetmeter.models.roles.weight_map import (
    CONVOLUTION,
    NO_MATRIX,
    NOT_USED,
    OTHER_EMBEDDING,
    ROUTER,
    left_alone,
    weight_map,
)
from forgetmeter.specs.role import Matrix, Role

SQUARE, HEAD = HIDDEN * HIDDEN, VOCABULARY * HIDDEN
ATTENTION = {f"attention.{part}": LAYERS * SQUARE for part in ("query", "key", "value", "output")}
GROUPED = ATTENTION | {"attention.key": LAYERS * SQUARE // 2, "attention.value": LAYERS * SQUARE // 2}
PLAIN = {"feed_forward.up": LAYERS * INNER * HIDDEN, "feed_forward.down": LAYERS * INNER * HIDDEN}
GATED = PLAIN | {"feed_forward.gate": LAYERS * INNER * HIDDEN}
MASKED = {"head_transform": SQUARE, "head": HEAD}
LLAMA = GROUPED | GATED | {"head": HEAD}
DECODER = ATTENTION | PLAIN | {"head": HEAD}


def times(factor: int, sizes: dict[str, int]) -> dict[str, int]:
    return {role: factor * size for role, size in sizes.items()}


def three_attentions(feed_forward: dict[str, int]) -> dict[str, int]:
    """Return an encoder-decoder's sizes: two self-attentions, a cross-attention and two feed-forwards."""
    return times(3, ATTENTION) | times(2, feed_forward) | {"head": HEAD}


DEBERTA = times(2, {part: ATTENTION[part] for part in ("attention.query", "attention.key")})
DEBERTA |= {part: ATTENTION[part] for part in ("attention.value", "attention.output")} | PLAIN
EXPERTS = {f"feed_forward.{part}": LAYERS * 4 * 24 * HIDDEN for part in ("up", "gate", "down")}

# Weights per role, counted from the configurations by hand.
SIZES: dict[str, dict[str, int]] = {
    **dict.fromkeys(("bert", "bert_untied", "roberta", "distilbert"), ATTENTION | PLAIN | MASKED),
    "albert": {role: size // LAYERS for role, size in (ATTENTION | PLAIN).items()}
    | {"embedding": HIDDEN * 16, "head_transform": HIDDEN * 16, "head": VOCABULARY * 16},
    "electra": ATTENTION | PLAIN | {"embedding": HIDDEN * 16, "head_transform": HIDDEN * 16, "head": VOCABULARY * 16},
    "deberta_v2": DEBERTA | MASKED,
    "deberta_v2_own_positions": DEBERTA | {"head_transform": SQUARE},
    "deberta_v2_shared_key": ATTENTION | PLAIN | MASKED,
    "modernbert": ATTENTION | GATED | MASKED,
    "t5": three_attentions(PLAIN),
    "t5_gated": three_attentions(GATED),
    "mt5": three_attentions(GATED),
    "bart": three_attentions(PLAIN),
    **dict.fromkeys(("llama", "llama_tied", "mistral", "qwen2", "qwen3", "gemma", "gemma2", "gemma3_text"), LLAMA),
    "phi3": LLAMA,
    **dict.fromkeys(("gpt2", "gpt_neox", "opt", "falcon"), DECODER),
    "opt_projected": DECODER | {"embedding": 2 * HIDDEN * 16, "head": VOCABULARY * 16},
    "falcon_multi_query": DECODER | {f"attention.{part}": LAYERS * SQUARE // 4 for part in ("key", "value")},
    "falcon_grouped": DECODER | {f"attention.{part}": LAYERS * SQUARE // 2 for part in ("key", "value")},
    "bloom": DECODER | {f"feed_forward.{part}": LAYERS * 4 * SQUARE for part in ("up", "down")},
    "mixtral": GROUPED | times(4, GATED) | {"head": HEAD},
    "qwen2_moe": GROUPED | {role: size + LAYERS * 40 * HIDDEN for role, size in EXPERTS.items()} | {"head": HEAD},
    "qwen3_moe": GROUPED | EXPERTS | {"head": HEAD},
}

TIED = [
    *("bert", "roberta", "distilbert", "albert", "electra", "deberta_v2", "deberta_v2_shared_key", "modernbert"),
    *("t5", "t5_gated", "mt5", "bart", "llama_tied", "gemma", "gemma2", "gemma3_text", "gpt2", "opt", "opt_projected"),
    *("falcon", "falcon_multi_query", "falcon_grouped", "bloom"),
]

each_architecture = pytest.mark.parametrize("name", ARCHITECTURES)


@cache
def skeleton(name: str) -> PreTrainedModel:
    with torch.device("meta"):
        return make_architecture(name)


def test_all_architectures_are_covered() -> None:
    assert SIZES.keys() == set(ARCHITECTURES)


@each_architecture
def test_each_two_dimensional_weight_is_mapped_once(name: str) -> None:
    """Marks every single weight, using nothing of the map but its indices."""
    model = skeleton(name)
    reasons = left_alone(model)
    marks = {
        parameter: torch.full(weight.shape, int(parameter in reasons), device="cpu")
        for parameter, weight in model.named_parameters()
        if weight.dim() > 1
    }
    assert reasons.keys() <= marks.keys()
    embeddings = [matrix.parameter for matrix in weight_map(model) if matrix.is_lookup]
    assert len(embeddings) == 1
    for matrix in weight_map(model):
        if matrix.tied_to is not None:
            assert matrix.parameter not in marks
            assert matrix.tied_to in embeddings
            continue
        marked = marks[matrix.parameter]
        if matrix.axis is None:
            assert marked.shape == matrix.shape
            marked += 1
        else:
            index = torch.cat([torch.arange(start, stop) for start, stop in matrix.ranges])
            assert marked.index_select(matrix.axis, index).shape == matrix.shape
            marked.index_add_(matrix.axis, index, torch.ones(matrix.shape, dtype=marked.dtype))
    assert {parameter for parameter, marked in marks.items() if not bool((marked == 1).all())} == set()


@each_architecture
def test_roles_have_the_sizes_in_the_configuration(name: str) -> None:
    sizes: Counter[str] = Counter()
    for matrix in weight_map(skeleton(name)):
        sizes[str(matrix.role)] += matrix.size
    assert sizes.pop("token_embedding") == skeleton(name).get_input_embeddings().weight.numel()
    assert dict(sizes) == SIZES[name]


@each_architecture
def test_stack_layer_and_kind_of_attention_match_the_name(name: str) -> None:
    model = skeleton(name)
    for matrix in weight_map(model):
        is_head = matrix.role.component in ("head", "head_transform", "embedding", "token_embedding")
        number = re.search(r"\.(\d+)\.", matrix.parameter)
        assert matrix.layer == (None if is_head or number is None else int(number[1]))
        assert (matrix.layer is None) == is_head
        is_cross = "encoder_attn" in matrix.parameter or "EncDec" in matrix.parameter
        kind = None if matrix.role.component != "attention" else "cross" if is_cross else "self"
        assert matrix.role.attention == kind
        if name in ENCODER_DECODERS:
            assert matrix.stack == ("encoder" if re.match(r"(model\.)?encoder\.", matrix.parameter) else "decoder")
        else:
            assert matrix.stack == ("encoder" if "MaskedLM" in type(model).__name__ else "decoder")
        assert matrix.architecture == model.config.model_type


@each_architecture
def test_the_form_matches_the_module(name: str) -> None:
    model = skeleton(name)
    for matrix in weight_map(model):
        module = model.get_submodule(matrix.module)
        kind = {"linear": "Linear", "conv1d": "Conv1D", "tensor": "Experts", "lookup": "Embedding"}[matrix.form]
        assert type(module).__name__.endswith(kind)


@each_architecture
def test_a_tied_head_names_its_embedding(name: str) -> None:
    model = skeleton(name)
    heads = [matrix for matrix in weight_map(model) if matrix.role.component == "head"]
    assert len(heads) == (0 if name == "deberta_v2_own_positions" else 1)
    assert weight_map(model)[-len(heads) :] == tuple(heads) or not heads
    for head in heads:
        weight = model.get_parameter(head.parameter)
        assert head.shape == tuple(weight.shape)
        assert (head.tied_to is not None) == (name in TIED)
        assert head.tied_to is None or model.get_parameter(head.tied_to) is weight


def test_deberta_without_its_own_head_multiplies_by_its_embedding() -> None:
    model = make_architecture("deberta_v2_own_positions")
    with torch.no_grad():
        model.get_input_embeddings().weight[7] = 0
        model.lm_predictions.lm_head.bias.zero_()
    logits = logits_of(model)
    assert bool((logits[..., 7] == 0).all())
    assert not bool((logits[..., 8] == 0).any())


def test_a_head_may_share_the_embedding_of_the_decoder_alone() -> None:
    sizes = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 1, "num_attention_heads": 2}
    of_stack = BertConfig(vocab_size=99, **sizes).to_dict()
    model = EncoderDecoderModel(EncoderDecoderConfig(encoder=of_stack, decoder={**of_stack, "is_decoder": True}))
    (head,) = (each for each in weight_map(model) if each.role == Role("head"))
    assert head.tied_to == "decoder.bert.embeddings.word_embeddings.weight"


def test_mobilebert_makes_queries_and_keys_from_a_bottleneck() -> None:
    roles = {each.parameter: each.role for each in weight_map(CONFIGURATIONS["mobilebert as encoder"].model())}
    layer = "mobilebert.encoder.layer.0"
    assert roles[f"{layer}.bottleneck.attention.dense.weight"] == Role("attention", "latent", "self")
    assert roles[f"{layer}.attention.output.dense.weight"] == Role("attention", "output", "self")


def test_mobileberts_head_has_two_weights_that_it_multiplies_by_itself() -> None:
    model = CONFIGURATIONS["mobilebert as encoder"].model()
    head = {each.parameter: each for each in weight_map(model) if each.role == Role("head")}
    assert {name: each.form for name, each in head.items()} == {
        "cls.predictions.decoder.weight": "tensor",
        "cls.predictions.dense.weight": "transposed",
    }
    before = logits_of(model)
    with torch.no_grad():
        model.get_parameter("cls.predictions.dense.weight")[:, 7] = 0
        model.get_parameter("cls.predictions.decoder.weight")[7] = 0
        model.cls.predictions.decoder.bias.zero_()
    assert bool((logits_of(model)[..., 7] == 0).all())
    assert not bool((before[..., 7] == 0).any())


@pytest.mark.parametrize(
    ("model_type", "options"),
    [
        ("convbert", {"num_groups": 2}),
        ("deberta", {"embedding_size": 16}),
        ("deberta-v2", {"embedding_size": 16}),
        ("electra", {"embedding_size": 16}),
    ],
)
def test_optional_weights_have_a_role(model_type: str, options: dict[str, Any]) -> None:
    model = Configuration("encoder", model_type, options).model()
    known = weight_map(CONFIGURATIONS[f"{model_type} as encoder"].model())
    assert unknown_role_problem(weight_map(model)) == ""
    assert {each.role for each in weight_map(model)} - {each.role for each in known} <= {Role("embedding")}


def test_the_feed_forward_of_convbert_in_groups_has_a_matrix_of_each() -> None:
    model = Configuration("encoder", "convbert", {"num_groups": 2}).model().eval()
    up = next(each for each in weight_map(model) if each.role == Role("feed_forward", "up"))
    layer = model.get_submodule(up.parameter.removesuffix(".weight"))
    inputs = torch.randn(1, 5, layer.input_size)
    with torch.inference_mode():
        before = layer(inputs)
        layer.weight[1] = 0
        is_changed = (layer(inputs) != before).any(dim=1)[0]
    assert up.form == "transposed"
    assert is_changed.tolist() == [False] * (layer.output_size // 2) + [True] * (layer.output_size // 2)


def test_ignored_weights_give_a_reason() -> None:
    assert set(left_alone(skeleton("deberta_v2")).values()) == {OTHER_EMBEDDING, CONVOLUTION}
    assert left_alone(skeleton("t5"))["encoder.block.0.layer.0.SelfAttention.relative_attention_bias.weight"]
    routers = {name for name, why in left_alone(skeleton("qwen2_moe")).items() if why == ROUTER}
    assert routers == {
        f"model.layers.{layer}.mlp.{name}.weight" for layer in range(LAYERS) for name in ("gate", "shared_expert_gate")
    }


def named(model: PreTrainedModel, parameter: str) -> list[Matrix]:
    return [matrix for matrix in weight_map(model) if matrix.parameter == parameter]


def test_unrecognized_weights_have_an_unknown_role() -> None:
    model = make_architecture("llama")
    model.model.layers[1].extra = nn.Linear(3, 4)
    model.model.table = nn.Parameter(torch.ones(2, 5))
    model.own = nn.Parameter(torch.ones(3, 5))
    unknown = [matrix for matrix in weight_map(model) if matrix.role.component == "unknown"]
    assert [(matrix.parameter, matrix.form, matrix.layer) for matrix in unknown] == [
        ("own", "tensor", None),
        ("model.table", "tensor", None),
        ("model.layers.1.extra.weight", "linear", 1),
    ]


def test_unrecognized_weights_of_attention_or_feed_forward_have_no_part() -> None:
    model = make_architecture("llama")
    model.model.layers[1].mlp.extra = nn.Linear(3, 4)
    model.model.layers[1].self_attn.extra = nn.Linear(3, 4)
    extra = {each.parameter: each.role for each in weight_map(model) if "extra" in each.parameter}
    assert extra == {
        "model.layers.1.self_attn.extra.weight": Role("attention", None, "self"),
        "model.layers.1.mlp.extra.weight": Role("feed_forward"),
    }


def test_a_fused_projection_of_an_unknown_architecture_has_no_part() -> None:
    model = make_architecture("phi3")
    model.config.model_type = "phi99"
    (fused,) = named(model, "model.layers.0.self_attn.qkv_proj.weight")
    assert (fused.role, fused.axis, fused.shape) == (Role("attention", None, "self"), None, (64, 32))


def test_fused_parts_that_do_not_add_up_are_not_told_apart() -> None:
    model = make_architecture("phi3")
    model.config.num_key_value_heads = 3
    (fused,) = named(model, "model.layers.0.self_attn.qkv_proj.weight")
    assert fused.role == Role("attention", None, "self")


def test_parts_print_as_slices() -> None:
    query = weight_map(skeleton("gpt2"))[1]
    assert str(query) == "transformer.h.0.attn.c_attn.weight[:, 0:32]"
    assert str(weight_map(skeleton("falcon_grouped"))[1]).endswith("query_key_value.weight[0:16+32:48]")
    assert str(weight_map(skeleton("gpt_neox"))[1]).endswith("query_key_value.weight[0:8+24:32+48:56+… 4 ranges]")
    assert str(weight_map(skeleton("llama"))[1]) == "model.layers.0.self_attn.q_proj.weight"


def test_layers_that_texts_skip_are_left_alone() -> None:
    """Mllama's layers that attend to images."""
    assert left_alone(make_wrapper("mllama"))["model.language_model.layers.2.mlp.up_proj.weight"] == NOT_USED


def test_blocks_of_different_sizes_have_their_own_numbers_of_heads() -> None:
    """Dots 3's blocks with a sliding window have other numbers of heads than those without."""
    model = CONFIGURATIONS["dots3_note_text as decoder"].model()
    heads = {each.layer: each.heads for each in weight_map(model) if str(each.role) == "attention.output"}
    assert heads == {place: model.config.per_layer_config[place].num_attention_heads for place in (0, 1)}
    assert heads[0] != heads[1]


def test_the_gate_of_an_indexer_that_pools_is_a_matrix_and_its_positions_are_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    kinds = ["linear_attention", "indexed_attention"]
    monkeypatch.setitem(SPECIAL["glm5_next"]["text_config"], "layer_types", kinds)
    model = make_wrapper("glm5_next")
    roles = {each.parameter.rpartition(".")[2]: str(each.role) for each in weight_map(model)}
    assert roles["index_kpool_compress_gate"] == "attention.indexer"
    assert "unknown" not in roles.values()
    reasons = {name.rpartition(".")[2]: why for name, why in left_alone(model).items()}
    assert reasons["index_kpool_compress_ape"] == NO_MATRIX

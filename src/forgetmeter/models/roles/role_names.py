"""Roles of projections: their component by the module that holds them, their part by their usual names.

A module's kind follows from the suffix of its class name, which is conventional in transformers (``…Attention``,
``…MLP``), or from its own name in the block. One set of tables serves all architectures; how parameters are fused is
kept elsewhere.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from forgetmeter.specs.role import AttentionKind, Component, Part, Role

# In this order: a mixer may be called attention, as in linear attention. Zamba's hybrid layer itself holds a layer:
# it maps the output of the shared attention block, which is added to the input of the Mamba layer.
_CLASSES: tuple[tuple[Component, re.Pattern[str]], ...] = (
    (
        "mixer",
        re.compile(
            r"(Mixer|MambaLayer|DeltaNet|DeltaAttention|LightningAttention|ShortConv|RecurrentBlock|xLSTMLayer|HybridLayer)$|"
            r"^Rwkv\w*Attention$"
        ),
    ),
    ("attention", re.compile(r"(Attention|Attn)$")),
    (
        "feed_forward",
        re.compile(r"(MLP|Mlp|FeedForward|FFN|FFNLayer|Experts?|ExpertGLU|MoE|LayerFF|Adapter|Bottleneck)$"),
    ),
)
# Modules that hold a block's attention: self-attention, or cross-attention to the encoder.
_ATTENTION_NAMES = (
    "self_attn",
    "self_attention",
    "attention",
    "attn",
    "SelfAttention",
    "encoder_attn",
    "crossattention",
    "EncDecAttention",
    "post_attention",
)
_CROSS = re.compile(r"cross|encoder_attn|EncDec", re.IGNORECASE)
_ATTENTION: dict[str, Part] = {
    # `pos_*` are DeBERTa's projections of relative positions, which also produce queries and keys; `r*` are XLNet's
    # and Funnel's, which produce keys.
    **dict.fromkeys(
        (
            "q_proj",
            "query",
            "query_proj",
            "pos_query_proj",
            "pos_q_proj",
            "q_lin",
            "q",
            "q_attn",
            "q_b_proj",
            "q_head",
            "project_q",
            "Wq",
            "input_linear",
        ),
        "query",
    ),
    **dict.fromkeys(
        (
            "k_proj",
            "key",
            "key_proj",
            "pos_key_proj",
            "pos_proj",
            "k_lin",
            "k",
            "k_head",
            "project_k",
            "Wk",
            "r",
            "r_kernel",
        ),
        "key",
    ),
    **dict.fromkeys(("v_proj", "value", "value_proj", "v_lin", "v", "v_head", "project_v", "Wv"), "value"),
    **dict.fromkeys(
        (
            "o_proj",
            "out_proj",
            "out_lin",
            "o",
            "dense",
            "c_proj",
            "Wo",
            "output",
            "attention_out",
            "post_proj",
            "output_linear",
            "conv1d",
        ),
        "output",
    ),
    **dict.fromkeys(("q_a_proj", "kv_a_proj_with_mqa"), "latent"),
    **dict.fromkeys(("gate_proj", "g_proj"), "gate"),
}
_FEED_FORWARD: dict[str, Part] = {
    **dict.fromkeys(
        (
            "up_proj",
            "lin1",
            "fc1",
            "fc_in",
            "c_fc",
            "dense_h_to_4h",
            "wi",
            "wi_1",
            "w3",
            "ffn",
            "intermediate.dense",
            "intermediate.conv1d",
            "ffn.0",
            "feed_forward.intermediate",
            "feed_forward.key",
            "ff.layer_1",
            "ffn.linear_1",
            "dense.dense",
            "v1",
            "w_1",
            "proj_up",
        ),
        "up",
    ),
    **dict.fromkeys(("gate_proj", "wi_0", "w1", "w_0", "proj_up_gate", "feed_forward.receptance"), "gate"),
    **dict.fromkeys(
        (
            "down_proj",
            "lin2",
            "fc2",
            "fc_out",
            "c_proj",
            "dense_4h_to_h",
            "wo",
            "w2",
            "ffn_output",
            "output.dense",
            "output.conv1d",
            "Wo",
            "ffn.2",
            "feed_forward.output",
            "feed_forward.value",
            "ff.layer_2",
            "ffn.linear_2",
            "output_linear",
            "w_out",
            "proj_down",
        ),
        "down",
    ),
}
# Gemma's inputs of every block from a second embedding; ALBERT's, Funnel's and DeBERTa's projections.
_EMBEDDING_IN_BLOCKS = ("per_layer_input_gate", "per_layer_projection")
_EMBEDDING = (
    "embedding_hidden_mapping_in",
    "embeddings_project",
    "embed_proj",
    "embed_tokens.embedding_projection",
    "project_in",
    "project_out",
    "per_layer_model_projection",
    "embeddings.projection",
    "patch_embedding_projection",
    "embedding_transformation",
    "map_inputs_layer",
)
_HEAD_TRANSFORM = (
    "vocab_transform",
    *(f"{head}.dense" for head in ("transform", "lm_head", "predictions", "generator_predictions", "head")),
    "head.linear1",
    "head.linear2",
    *(f"projection_head.{layer}" for layer in ("dense", "linear1", "linear2")),
)


def role_inside_block(path: str, classes: Sequence[str]) -> Role | None:
    """Return the role of a projection in a block; ``None`` if unknown.

    Args:
        path: Its path in the block, such as ``mlp.up_proj``.
        classes: The names of the classes of the modules on the way, the block first: one per name in the path.
    """
    component, kind = _component_of(path, classes)
    parent, last = _last_two(path)
    if component == "mixer":
        return Role("mixer")
    if component == "attention":
        return Role("attention", _attention_part(path, last), kind)
    if last in _EMBEDDING_IN_BLOCKS:
        return Role("embedding")
    part = _FEED_FORWARD.get(last) or _FEED_FORWARD.get(f"{parent}.{last}")
    return Role("feed_forward", part) if part or component == "feed_forward" else None


def _attention_part(path: str, last: str) -> Part | None:
    if path.startswith("bottleneck."):
        # MobileBERT makes queries and keys from its output.
        return "latent"
    return "indexer" if ".indexer." in f".{path}" else _ATTENTION.get(last)


def _component_of(path: str, classes: Sequence[str]) -> tuple[Component | None, AttentionKind | None]:
    """Return the component that the innermost known module on the way to a projection is, with the kind of attention.

    The arguments are those of ``role_inside_block``.
    """
    component = next(_components(path.split(".")[:-1], classes), None)
    if component != "attention":
        return component, None
    is_cross = any(_CROSS.search(name) for name in (*path.split(".")[:-1], *classes[1:]))
    return component, "cross" if is_cross else "self"


def _components(names: Sequence[str], classes: Sequence[str]) -> Iterator[Component]:
    for index in range(len(classes) - 1, -1, -1):
        # The block's own class comes first, and has no name in the path.
        name = names[index - 1] if index else ""
        yield from (component for component, pattern in _CLASSES if pattern.search(classes[index]))
        if name in _ATTENTION_NAMES:
            yield "attention"


def role_outside_blocks(path: str) -> Role | None:
    """Return the role of a projection outside the blocks by its full name; ``None`` if unknown."""
    parent, last = _last_two(path)
    if last in _HEAD_TRANSFORM or f"{parent}.{last}" in _HEAD_TRANSFORM:
        return Role("head_transform")
    return Role("embedding") if last in _EMBEDDING or f"{parent}.{last}" in _EMBEDDING else None


def _last_two(path: str) -> tuple[str, str]:
    names = path.split(".")
    return (names[-2] if len(names) > 1 else "", names[-1])

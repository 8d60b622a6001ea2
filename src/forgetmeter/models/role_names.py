"""Roles of projections by their usual names.

A projection's role follows from its own name and from the module that holds it. One table serves all architectures;
exceptions are handled elsewhere.
"""

from __future__ import annotations

from forgetmeter.specs.role import AttentionKind, Part, Role

# Modules that hold a block's attention: self-attention, or cross-attention to the encoder.
_ATTENTION_MODULES: dict[str, AttentionKind] = {
    "self_attn": "self",
    "self_attention": "self",
    "attention": "self",
    "attn": "self",
    "SelfAttention": "self",
    "encoder_attn": "cross",
    "crossattention": "cross",
    "EncDecAttention": "cross",
}
_ATTENTION: dict[str, Part] = {
    # `pos_*` are DeBERTa's projections of relative positions, which also produce queries and keys.
    **dict.fromkeys(("q_proj", "query", "query_proj", "pos_query_proj", "q_lin", "q", "q_attn"), "query"),
    **dict.fromkeys(("k_proj", "key", "key_proj", "pos_key_proj", "k_lin", "k"), "key"),
    **dict.fromkeys(("v_proj", "value", "value_proj", "v_lin", "v"), "value"),
    **dict.fromkeys(("o_proj", "out_proj", "out_lin", "o", "dense", "c_proj", "Wo"), "output"),
}
_FEED_FORWARD: dict[str, Part] = {
    **dict.fromkeys(
        ("up_proj", "lin1", "fc1", "fc_in", "c_fc", "dense_h_to_4h", "wi", "wi_1", "w3", "ffn", "intermediate.dense"),
        "up",
    ),
    **dict.fromkeys(("gate_proj", "wi_0", "w1"), "gate"),
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
            "Wo",
        ),
        "down",
    ),
}
_EMBEDDING = ("embedding_hidden_mapping_in", "embeddings_project", "project_in", "project_out")
_HEAD_TRANSFORM = (
    "vocab_transform",
    *(f"{head}.dense" for head in ("transform", "lm_head", "predictions", "generator_predictions", "head")),
)


def attention_kind(path: str) -> AttentionKind | None:
    """Return the kind of attention of a module by its path in a block, such as ``self_attn.q_proj``, or ``None``."""
    kinds = {_ATTENTION_MODULES[name] for name in path.split(".")[:-1] if name in _ATTENTION_MODULES}
    return ("cross" if "cross" in kinds else "self") if kinds else None


def role_inside_block(path: str) -> Role | None:
    """Return the role of a projection by its path in a block, such as ``mlp.up_proj``; ``None`` if unknown."""
    kind, (parent, last) = attention_kind(path), _last_two(path)
    if kind is not None:
        part = _ATTENTION.get(last)
        return part and Role("attention", part, kind)
    part = _FEED_FORWARD.get(last) or _FEED_FORWARD.get(f"{parent}.{last}")
    return part and Role("feed_forward", part)


def role_outside_blocks(path: str) -> Role | None:
    """Return the role of a projection outside the blocks by its full name; ``None`` if unknown."""
    parent, last = _last_two(path)
    if last in _HEAD_TRANSFORM or f"{parent}.{last}" in _HEAD_TRANSFORM:
        return Role("head_transform")
    return Role("embedding") if last in _EMBEDDING else None


def _last_two(path: str) -> tuple[str, str]:
    names = path.split(".")
    return (names[-2] if len(names) > 1 else "", names[-1])

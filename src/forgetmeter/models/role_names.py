"""What the ordinary names of a model's projections say about their role.

Architectures differ in names, not in kind: a projection is told by the module that it lies in and by its own
name. One table serves all; an architecture gets an entry elsewhere only where names do not tell.
"""

from __future__ import annotations

from forgetmeter.specs.role import AttentionKind, Part, Role

# The modules that hold a block's attention, and whether it looks at the same sequence or at the encoder's.
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
    # `pos_*` are DeBERTa's projections of relative positions: they make queries and keys too.
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
    """Return which attention a module of a block lies in, or ``None`` if in none.

    Args:
        path: The module's name within its block, such as ``self_attn.q_proj``.
    """
    kinds = {_ATTENTION_MODULES[name] for name in path.split(".")[:-1] if name in _ATTENTION_MODULES}
    return ("cross" if "cross" in kinds else "self") if kinds else None


def role_inside_block(path: str) -> Role | None:
    """Return the role of a projection within a block, or ``None`` where its name says nothing.

    Args:
        path: The module's name within its block, such as ``mlp.up_proj``.
    """
    kind, (parent, last) = attention_kind(path), _last_two(path)
    if kind is not None:
        part = _ATTENTION.get(last)
        return part and Role("attention", part, kind)
    part = _FEED_FORWARD.get(last) or _FEED_FORWARD.get(f"{parent}.{last}")
    return part and Role("feed_forward", part)


def role_outside_blocks(path: str) -> Role | None:
    """Return the role of a projection before or after the blocks, or ``None`` where its name says nothing.

    Args:
        path: The module's whole name, such as ``cls.predictions.transform.dense``.
    """
    parent, last = _last_two(path)
    if last in _HEAD_TRANSFORM or f"{parent}.{last}" in _HEAD_TRANSFORM:
        return Role("head_transform")
    return Role("embedding") if last in _EMBEDDING else None


def _last_two(path: str) -> tuple[str, str]:
    names = path.split(".")
    return (names[-2] if len(names) > 1 else "", names[-1])

"""Checks settings that weight shapes do not reveal, and with which a model would compute nonsense or fail late."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

_POSITIVE = (
    "attention_chunk_size",
    "attn_logit_softcapping",
    "clip_qkv",
    "expert_capacity",
    "embedding_multiplier",
    "final_logit_softcapping",
    "local_radius",
    "logit_scale",
    "logits_scaling",
    "n_group",
    "relative_attention_max_distance",
    "residual_multiplier",
    "rope_theta",
    "routed_scaling_factor",
    "router_scaling_factor",
    "swiglu_alpha",
    "swiglu_limit",
    "topk_group",
)
_FACTORS = ("_alpha_factor", "_beta_factor")
_OF_ROPE = ("factor", "low_freq_factor", "high_freq_factor", "original_max_position_embeddings")
_MOST_DIGITS = 20
_LARGEST_TOKEN = 2**31 - 1
"""Any larger token fails late, where it is converted to an integer of torch."""
_LARGEST = {
    r"(.*_)?layers|n_layer|block_count": 10_000,
    r"(.*_)?(heads|experts)|n_head|.*head_count(_kv)?|expert_count": 100_000,
    r"(hidden|vocab|embedding|.*intermediate)_size|(.*_)?head_dim|n_(embd|inner|positions)|d_(model|ff|kv|inner)|"
    r"embedding_length|.*feed_forward_length": 10**8,
}
"""Sizes far beyond any model, by names of settings in transformers and GGUF.

transformers would build a larger model module by module, or fail on the size of a tensor.
"""
_NOT_NEGATIVE = ("_eps", "_epsilon")
_WINDOWED = "sliding_attention"
_EXPERTS = ("num_local_experts", "num_experts", "n_routed_experts", "moe_num_experts")
_CHOSEN = ("num_experts_per_tok", "num_experts_per_token", "top_k_experts", "moe_topk", "moe_top_k", "moe_k")


def size_problems(settings: Mapping[Any, Any]) -> Iterator[str]:
    """Yield the sizes, including nested ones, that are negative or too large."""
    for key, value in settings.items():
        if isinstance(value, Mapping):
            yield from size_problems(value)
        elif isinstance(key, str) and type(value) is int:
            for names, largest in _LARGEST.items():
                if re.fullmatch(names, key) and not 0 <= value <= largest:
                    yield f"{key} is {_shown(value)} but must be from 0 to {largest:,}"


def setting_problems(settings: Mapping[Any, Any]) -> Iterator[str]:
    """Yield the settings, including nested ones, that are not possible."""
    names = settings.get("architectures") or []
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        yield f"architectures is {names!r:.60} but must be a list of names"
    numbers = {key: value for key, value in settings.items() if isinstance(key, str) and type(value) in (int, float)}
    for key, value in numbers.items():
        yield from _number_problems(key, value, settings)
    heads, shared = (numbers.get(key, 0) for key in ("num_attention_heads", "num_key_value_heads"))
    if shared > 0 and heads % shared:
        yield f"num_key_value_heads is {shared} but must divide num_attention_heads, {heads}"
    experts = max((numbers.get(key, 0) for key in _EXPERTS), default=0)
    for key in _CHOSEN:
        # A model without experts may have the setting, too.
        if experts > 0 and not 1 <= numbers.get(key, 1) <= experts:
            yield f"{key} is {numbers[key]} but must be from 1 to {experts}, the number of experts"
    for value in settings.values():
        if isinstance(value, Mapping):
            yield from setting_problems(value)


def _number_problems(key: str, value: float, settings: Mapping[Any, Any]) -> Iterator[str]:
    if (
        key in _POSITIVE or key.endswith(_FACTORS) or (key == "sliding_window" and _is_windowed(settings))
    ) and value <= 0:
        yield f"{key} is {value} but must be positive"
    if key in _OF_ROPE and ("rope_type" in settings or "type" in settings) and value <= 0:
        yield f"{key} of the rotary embedding is {value} but must be positive"
    if key.endswith(_NOT_NEGATIVE) and value < 0:
        yield f"{key} is {value} but must not be negative"
    if key.endswith("_token_id") and value > _LARGEST_TOKEN:
        yield f"{key} is {_shown(value)}, which is not a token"


def _shown(value: float) -> str:
    # A number with many digits may not fit into a float.
    return text if len(text := str(value)) <= _MOST_DIGITS else f"{text[:_MOST_DIGITS]}…"


def _is_windowed(settings: Mapping[Any, Any]) -> bool:
    """Return whether a layer uses the window: those that are listed as such, or all if the kinds are not listed."""
    return _WINDOWED in (settings.get("layer_types") or (_WINDOWED,))

"""Checks that transformers' conversion of a GGUF file has the file's settings."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any

_NAMES: dict[str, tuple[str, ...]] = {
    "context_length": ("max_position_embeddings", "n_positions"),
    "embedding_length": ("hidden_size",),
    "block_count": ("num_hidden_layers",),
    "feed_forward_length": ("intermediate_size", "ffn_hidden_size", "n_inner"),
    "vocab_size": ("vocab_size",),
    "attention.head_count": ("num_attention_heads",),
    "attention.head_count_kv": ("num_key_value_heads", "num_kv_heads"),
    "attention.key_length": ("head_dim",),
    "attention.value_length": ("head_dim",),
    "attention.layer_norm_rms_epsilon": ("rms_norm_eps", "norm_eps", "layer_norm_epsilon"),
    "attention.layer_norm_epsilon": ("layer_norm_eps", "layer_norm_epsilon", "norm_epsilon", "norm_eps"),
    "attention.sliding_window": ("sliding_window",),
    "attention.shared_kv_layers": ("num_kv_shared_layers",),
    "attn_logit_softcapping": ("attn_logit_softcapping",),
    "final_logit_softcapping": ("final_logit_softcapping",),
    "embedding_length_per_layer_input": ("hidden_size_per_layer_input",),
    "use_parallel_residual": ("use_parallel_residual", "parallel_attn"),
    "expert_count": ("num_experts", "num_local_experts"),
    "expert_used_count": ("num_experts_per_tok",),
    "expert_feed_forward_length": ("moe_intermediate_size",),
    "expert_shared_feed_forward_length": ("shared_expert_intermediate_size",),
    "shortconv.l_cache": ("conv_L_cache",),
    "ssm.conv_kernel": ("conv_kernel", "linear_conv_kernel_dim"),
    "ssm.state_size": ("state_size", "linear_key_head_dim"),
    "ssm.time_step_rank": ("time_step_rank", "linear_num_value_heads"),
    "ssm.group_count": ("linear_num_key_heads",),
    "full_attention_interval": ("full_attention_interval",),
}
"""transformers' names of a setting, across architectures."""
_NEUTRAL: dict[str, Any] = {
    "attention.causal": True,
    "attention.clamp_kqv": 0,
    "attention.scale": 0,
    "embedding_scale": 1,
    "logit_scale": 1,
    "residual_scale": 1,
    "rope.scale_linear": 1,
    "rope.scaling.factor": 1,
    "rope.scaling.attn_factor": 1,
    "rope.scaling.type": "none",
    "rope.scaling.finetuned": False,
    "expert_weights_scale": 1,
    "expert_shared_count": 0,
    "leading_dense_block_count": 0,
    "nextn_predict_layers": 0,
}
"""Neutral values of settings that transformers does not read."""
_DESCRIPTIONS = ("tensor_data_layout", "rope.scaling.original_context_length")
_LARGEST_GEMMAS = {"gemma2": 46, "gemma3": 62}
"""Number of blocks of the models for which llama.cpp scales attention by the model's width divided by its heads."""


_REQUIRED = (
    ("context_length",),
    ("embedding_length",),
    ("block_count",),
    ("attention.head_count",),
    ("attention.layer_norm_rms_epsilon", "attention.layer_norm_epsilon"),
)
"""Settings without a default in llama.cpp; a file has one from each group. Transformers would use its own defaults."""
_DEFAULTS: dict[str, Any] = {"rope.freq_base": 10_000.0}
"""llama.cpp's values of settings that a file may lack, where transformers has others."""


def missing_settings(settings: Mapping[str, Any]) -> Iterator[str]:
    """Yield the settings that a GGUF file must have and lacks; names lack the architecture's prefix."""
    for names in _REQUIRED:
        if not any(name in settings for name in names):
            yield " or ".join(names)


def differing_settings(config: Any, settings: Mapping[str, Any]) -> Iterator[str]:  # noqa: ANN401
    """Yield the settings of a GGUF file that differ in its model's configuration, as ``name = value``.

    Names lack the architecture's prefix. Unknown settings count as different, since ignoring them could load a
    different model.
    """
    unsaid = _DEFAULTS if any(_ropes(config)) else {}
    for name, said in {**unsaid, **settings}.items():
        if name in _DESCRIPTIONS or (name in _NEUTRAL and said == _NEUTRAL[name]):
            continue
        if name in _COMPUTED:
            agrees = _COMPUTED[name](config, said)
        elif name in _NAMES:
            agrees = _agrees(config, name, said)
        else:
            agrees = False
        if not agrees:
            yield f"{name} = {said}"


def apply_settings(config: Any, architecture: str, settings: Mapping[str, Any]) -> None:  # noqa: ANN401
    """Apply settings that a GGUF file states or implies and transformers supports but does not read.

    Names lack the architecture's prefix. The configuration is changed.
    """
    if hasattr(config, "query_pre_attn_scalar"):
        # Gemma's attention scale is not in the file: llama.cpp derives it from the number of blocks.
        is_largest = config.num_hidden_layers == _LARGEST_GEMMAS.get(architecture)
        width = config.hidden_size // config.num_attention_heads if is_largest else _head_width(config)
        config.query_pre_attn_scalar = width
    rope = getattr(config, "rope_parameters", None)
    if isinstance(rope, dict) and "rope_theta" in rope:
        rope["rope_theta"] = settings.get("rope.freq_base", rope["rope_theta"])
        if "partial_rotary_factor" in rope and "rope.dimension_count" in settings:
            rope["partial_rotary_factor"] = settings["rope.dimension_count"] / _head_width(config)
    if getattr(config, "sliding_window", 0) is None and "attention.sliding_window" in settings:
        config.sliding_window = settings["attention.sliding_window"]


def _agrees(config: Any, name: str, said: Any) -> bool:  # noqa: ANN401 - any value in a file
    read = [value for key in _NAMES[name] if (value := getattr(config, key, None)) is not None]
    if not read:
        # Architectures without such a limit or width derive it; a window must be explicit.
        if name in ("attention.key_length", "attention.value_length"):
            return _equal(said, _head_width(config))
        return name in ("context_length", "feed_forward_length")
    return any(_equal(said, value) for value in read)


def _equal(said: Any, read: Any) -> bool:  # noqa: ANN401
    if isinstance(said, list):
        said = said if isinstance(read, list) else max(said)
    if isinstance(said, (int, float)) and isinstance(read, (int, float)):
        return math.isclose(said, read, rel_tol=1e-5)
    return bool(said == read)


def _ropes(config: Any) -> list[Mapping[str, Any]]:  # noqa: ANN401
    found = getattr(config, "rope_parameters", None) or {}
    return [each for each in found.values() if isinstance(each, dict)] or [found]


def _head_width(config: Any) -> int:  # noqa: ANN401
    return int(getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads)


def _rotated(config: Any, said: Any) -> bool:  # noqa: ANN401
    factor = next((each["partial_rotary_factor"] for each in _ropes(config) if "partial_rotary_factor" in each), 1)
    return bool(said == int(_head_width(config) * factor))


def _scaled(key: str) -> Callable[[Any, Any], bool]:
    def agrees(config: Any, said: Any) -> bool:  # noqa: ANN401
        return any(
            each.get("rope_type", "default") != "default" and _equal(said, each.get(key)) for each in _ropes(config)
        )

    return agrees


def _has_window(config: Any, said: Any) -> bool:  # noqa: ANN401
    """Whether the model attends through the window: an architecture may have the setting, but no layer with it."""
    layers = getattr(config, "layer_types", None)
    return _agrees(config, "attention.sliding_window", said) and (
        layers is None or any("sliding" in layer for layer in layers)
    )


_COMPUTED: dict[str, Callable[[Any, Any], bool]] = {
    "attention.sliding_window": _has_window,
    "rope.freq_base": lambda config, said: any(_equal(said, each.get("rope_theta")) for each in _ropes(config)),
    "rope.freq_base_swa": lambda config, said: any(_equal(said, each.get("rope_theta")) for each in _ropes(config)),
    "rope.dimension_count": _rotated,
    "rope.scaling.type": _scaled("rope_type"),
    "rope.scaling.factor": _scaled("factor"),
    "ssm.inner_size": lambda config, said: said in (getattr(config, "intermediate_size", None), _value_width(config)),
    "rope.dimension_sections": lambda config, said: any(
        [each for each in said if each] == rope.get("mrope_section") for rope in _ropes(config)
    ),
}


def _value_width(config: Any) -> int | None:  # noqa: ANN401
    width = getattr(config, "linear_value_head_dim", None)
    return None if width is None else width * int(config.linear_num_value_heads)

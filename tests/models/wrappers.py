"""Tiny random models that read texts beside images or sound."""

from __future__ import annotations

from typing import Any

import torch
from scoring.batch_invariance.configurations import small_options
from transformers import CONFIG_MAPPING, PreTrainedModel

from forgetmeter.models.family import auto_class

_ROPE = {"rope_type": "default", "rope_theta": 1e4, "mrope_section": [1, 1, 2], "partial_rotary_factor": 1.0}
_TEXT: dict[str, Any] = {"num_kv_shared_layers": 0, "sliding_window": 512, "num_local_experts": 4}
_TOWER: dict[str, Any] = {
    "num_key_value_heads": 4,
    "image_size": 28,
    "patch_size": 14,
    "depth": 2,
    "embed_dim": 32,
    "num_heads": 4,
    "encoder_hidden_size": 32,
    "out_hidden_size": 32,
    "fullatt_block_indexes": [1],
    "num_position_embeddings": 16,
    "deepstack_visual_indexes": [0],
    "vision_output_dim": 32,
    "projector_input_dim": 32,
    "projector_output_dim": 32,
}
_LATENT = {"num_key_value_heads": 4}
SPECIAL: dict[str, dict[str, Any]] = {
    "chameleon": {"vocabulary_map": {"<image>": 5}, "vq_config": {"base_channels": 32}},
    "cohere2_vision": {"alignment_intermediate_size": 64},
    "cohere_compass": {"text_config": {"rope_parameters": {"full_attention": _ROPE, "sliding_attention": _ROPE}}},
    "emu3": {"vocabulary_map": {"<image>": 5}, "vq_config": {"base_channels": 32}},
    "glm5_next": {"text_config": {**_LATENT, "qk_rope_head_dim": 0, "layer_types": ["linear_attention"] * 2}},
    "inkling2": {"vision_config": {"text_hidden_size": 32}},
    "mistral4": _LATENT
    | {"rope_parameters": {**_ROPE, "original_max_position_embeddings": 128, "llama_4_scaling_beta": 0.1}},
    "mistral_large4": {"text_config": _LATENT | {"kv_source_layers": [0, 1]}},
    "mllama": {"text_config": {"num_hidden_layers": 3, "cross_attention_layers": [2]}},
    "molmo2": {"adapter_config": {"vision_feature_layer": [1, 0]}},
    "muse_glimmer": {"projector_hidden_size": 32},
    "ovis2": {"vocab_size": 270, "hidden_size": 32},
    "nemotron_h_omni": {"projector_hidden_size": 32, "vision_hidden_size": 32},
}
_NAMES = (
    "aria aya_vision chameleon cohere2_vision cohere_compass cosmos3_edge cosmos3_omni deepseek_vl deepseek_vl_hybrid "
    "emu3 ernie4_5_vl_moe exaone4_5 fuyu gemma3 gemma4 gemma4_unified git glm46v glm4v glm4v_moe glm5_next glm_ocr "
    "glmga got_ocr2 granite_docling hunyuan_vl hyperclovax_vision_v2 idefics2 idefics3 inkling2 inkling_mm_model "
    "internvl kimi_k25 kosmos-2.5 lfm2_vl lfm3_vl lighton_ocr llama4 llava llava_next llava_next_video "
    "llava_onevision minicpm_ocr minicpmv4_6 minicpmv4_7 minimax_m3_vl mistral3 mistral4 mistral_large4 mllama molmo2 "
    "moss_transcribe_diarize muse_glimmer nemotron_h_omni ovis2 paddleocr_vl paligemma phi4_multimodal pp_chart2table "
    "qianfan_ocr qwen2_5_omni_thinker qwen2_5_vl qwen2_vl qwen3_5 qwen3_5_moe qwen3_omni_moe_thinker qwen3_vl "
    "qwen3_vl_moe shieldgemma2 smolvlm step3p7 video_llama_3 video_llava vipllava"
)
WRAPPERS = tuple(_NAMES.split())


def make_wrapper(model_type: str) -> PreTrainedModel:
    """Build the model, deterministically, with weights at a scale where logits are not flat."""
    kind: Any = CONFIG_MAPPING[model_type]
    default = kind()
    text, special = default.get_text_config(), SPECIAL.get(model_type, {})
    parts = {name: part for name in default.sub_configs if (part := getattr(default, name, None)) is not None}
    options: dict[str, Any] = {}
    if text is default:
        options = {name: one for name, one in _small(text, _TEXT).items() if name not in (*parts, "model_type")}
    for name, part in parts.items():
        options[name] = _small(part, _TEXT if part is text else _TOWER) | special.get(name, {})
    tokens = {name: 5 for name in ("image_token_id", "image_token_index") if hasattr(default, name)}
    options |= {
        **{name: one for name, one in special.items() if name not in parts},
        **tokens,
        "tie_word_embeddings": False,
    }
    torch.manual_seed(0)
    model: PreTrainedModel = auto_class("decoder", model_type).from_config(kind(**options)).eval()
    # Some cannot make the cache of a plain call if all their layers are recurrent.
    model.config.use_cache = False
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() > 1:
                parameter.normal_(0, 0.15)
            else:
                # Some are left uninitialized.
                parameter.nan_to_num_(0.0).clamp_(-9, 9)
    return model


def _small(default: Any, sizes: dict[str, Any]) -> dict[str, Any]:
    """Return the options of a small configuration of the same kind: two layers, the first and the last."""
    given = default.to_dict()
    layers = given.get(getattr(type(default), "attribute_map", {}).get("num_hidden_layers", "num_hidden_layers"))
    options: dict[str, Any] = {}
    for name, value in given.items():
        is_per_layer = isinstance(value, list) and (len(value) == layers or name.endswith("layer_types"))
        options[name] = [value[0], value[-1]] if is_per_layer else value
    rope = options.get("rope_parameters")
    if sizes is _TEXT and "rope_parameters" in options and (not rope or "rope_type" in rope):
        options["rope_parameters"] = dict(_ROPE)
    for name, value in small_options(default, {name: size for name, size in sizes.items() if name in given}).items():
        old = given.get(name)
        options[name] = [value] * len(old) if isinstance(old, list | tuple) and isinstance(value, int) else value
    return {name: value for name, value in options.items() if name not in ("moe_layers", "per_layer_config")}

"""Tiny random models that read images and texts."""

from __future__ import annotations

from typing import Any

import torch
from transformers import CONFIG_MAPPING, PreTrainedModel

from forgetmeter.models.family import auto_class

_TEXT: dict[str, Any] = {
    "vocab_size": 270,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "max_position_embeddings": 512,
    "pad_token_id": 1,
    "bos_token_id": 0,
    "eos_token_id": 2,
    "num_local_experts": 4,
    "intermediate_size_mlp": 48,
    "linear_num_key_heads": 4,
    "linear_num_value_heads": 4,
    "linear_key_head_dim": 8,
    "linear_value_head_dim": 8,
    "hidden_size_per_layer_input": 8,
    "vocab_size_per_layer_input": 270,
    "num_kv_shared_layers": 0,
    "sliding_window": 512,
}
_VISION: dict[str, Any] = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 4,
    "image_size": 28,
    "patch_size": 14,
    "depth": 2,
    "embed_dim": 32,
    "num_heads": 4,
    "out_hidden_size": 32,
    "fullatt_block_indexes": [1],
    "num_position_embeddings": 16,
    "deepstack_visual_indexes": [0],
    "vision_output_dim": 32,
    "projector_input_dim": 32,
    "projector_output_dim": 32,
    "head_dim": 8,
}
_PER_LAYER = ("layer_types", "no_rope_layers", "moe_layers", "per_layer_config")
WRAPPERS = ("gemma3", "gemma4", "llama4", "llava", "mistral3", "qwen2_5_vl", "qwen2_vl", "qwen3_5", "qwen3_vl")


def make_wrapper(model_type: str) -> PreTrainedModel:
    """Build the model, deterministically, with weights at a scale where logits are not flat."""
    kind: Any = CONFIG_MAPPING[model_type]
    default = kind()
    text = default.get_text_config().to_dict()
    text |= {name: value for name, value in _TEXT.items() if name in text}
    text = {name: value for name, value in text.items() if name not in _PER_LAYER}
    if model_type.startswith("qwen"):
        text["rope_parameters"] = {"rope_type": "default", "rope_theta": 1e4, "mrope_section": [1, 1, 2]}
    if model_type == "qwen3_5":
        text["layer_types"] = ["linear_attention", "full_attention"]
    options: dict[str, Any] = {"text_config": text}
    if default.vision_config is not None:
        vision = default.vision_config.to_dict()
        options["vision_config"] = vision | {name: value for name, value in _VISION.items() if name in vision}
    torch.manual_seed(0)
    config = kind(**options, image_token_id=5, image_token_index=5, tie_word_embeddings=False)
    model: PreTrainedModel = auto_class("decoder", model_type).from_config(config).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() > 1:
                parameter.normal_(0, 0.15)
    return model

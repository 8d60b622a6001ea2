"""Tiny random models of transformers' text architectures, and variants of their configurations."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
import torch
import transformers
from transformers import PreTrainedModel
from transformers.models.auto import modeling_auto
from transformers.models.auto.configuration_auto import CONFIG_MAPPING

from forgetmeter.models.family import Family

_MAPPINGS: dict[Family, dict[str, Any]] = {
    "decoder": modeling_auto.MODEL_FOR_CAUSAL_LM_MAPPING_NAMES,
    "encoder": modeling_auto.MODEL_FOR_MASKED_LM_MAPPING_NAMES,
    "encoder-decoder": modeling_auto.MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING_NAMES,
}
_SIZES: dict[int, str] = {
    270: "vocab_size vocab_size_per_layer_input",
    32: "hidden_size d_model n_embd dim embed_dim emb_dim lru_width attention_hidden_size linear_key_head_dim "
    "linear_value_head_dim router_hidden_size",
    48: "intermediate_size ffn_dim d_ff n_inner hidden_dim ffn_hidden_size encoder_ffn_dim decoder_ffn_dim dim_ff "
    "d_inner feed_forward_size intermediate_size_mlp shared_expert_intermediate_size",
    2: "num_hidden_layers n_layer n_layers num_layers encoder_layers decoder_layers num_decoder_layers "
    "num_encoder_layers num_key_value_heads num_experts_per_tok",
    4: "num_attention_heads n_head n_heads num_heads encoder_attention_heads decoder_attention_heads "
    "num_encoder_attention_heads num_decoder_attention_heads num_experts num_local_experts n_routed_experts rotary_dim "
    "linear_num_value_heads linear_num_key_heads",
    8: "head_dim d_kv d_head mamba_d_state qk_rope_head_dim qk_nope_head_dim v_head_dim attention_head_size "
    "hidden_size_per_layer_input ssm_state_size state_size",
    128: "max_position_embeddings n_positions n_ctx max_seq_len max_encoder_position_embeddings "
    "max_decoder_position_embeddings",
    24: "moe_intermediate_size",
    1: "n_shared_experts n_group topk_group first_k_dense_replace pad_token_id",
    16: "q_lora_rank kv_lora_rank embedding_size",
    0: "bos_token_id",
}
_SMALL = {name: size for size, names in _SIZES.items() for name in names.split()}
_SMALL |= {"eos_token_id": 2, "decoder_start_token_id": 2, "mask_token_id": 4, "use_mamba_kernels": False}

_NO = None
"""Marks an option that must not be passed to the configuration."""
_MAMBA = {"mamba_n_heads": 8, "mamba_d_head": 8}
_LATENT = {"num_key_value_heads": 4}
_BOTH = {"layer_types": ["linear_attention", "full_attention"]}
_ROPE = {"rope_type": "default", "rope_theta": 1e4}
# Encoder and decoder of T5Gemma are configured apart.
_GEMMA = {
    "vocab_size": 270,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "max_position_embeddings": 128,
    "layer_types": ["sliding_attention", "full_attention"],
    "sliding_window": 64,
    "query_pre_attn_scalar": 8,
    "pad_token_id": 1,
    "bos_token_id": 0,
    "eos_token_id": 2,
}
_VISION = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4}
_SPECIAL: dict[str, dict[str, Any]] = {
    "axk1": _LATENT,
    "axk2": _LATENT,
    "bailing_hybrid": _LATENT,
    "bamba": {**_MAMBA, "attn_layer_indices": [1]},
    "cohere_compass_text": {
        "layer_types": ["sliding_attention", "full_attention"],
        "rope_parameters": {"full_attention": _ROPE, "sliding_attention": _ROPE},
    },
    "dbrx": {
        "attn_config": {"kv_n_heads": 2, "rope_theta": 1e4, "clip_qkv": 8.0},
        "ffn_config": {"ffn_hidden_size": 48},
    },
    "deberta": {"relative_attention": True, "pos_att_type": ["c2p", "p2c"]},
    "deepseek_v2": _LATENT,
    "deepseek_v3": _LATENT,
    "deepseek_v32": _LATENT,
    "dots3_note_text": _LATENT,
    "esmc": {"num_key_value_heads": 4},
    "falcon": {"head_dim": _NO},
    "falcon_h1": {**_MAMBA, "mamba_d_ssm": 64},
    "funnel": {"num_hidden_layers": _NO, "block_sizes": [1, 1], "num_decoder_layers": 1},
    "gemma3n_text": {
        "activation_sparsity_pattern": [0.0, 0.0],
        "laurel_rank": 4,
        "layer_types": ["sliding_attention", "full_attention"],
        "num_kv_shared_layers": 0,
    },
    "glm4_moe_lite": _LATENT,
    "glm_moe_dsa": _LATENT,
    "gpt_bigcode": {"num_key_value_heads": 1},
    "gpt_neo": {"attention_types": [[["global", "local"], 1]], "window_size": 16},
    "granitemoehybrid": {**_MAMBA, "layer_types": ["mamba", "attention"]},
    "jamba": {"attn_layer_period": 2, "attn_layer_offset": 1, "expert_layer_period": 2},
    "kimi_linear": {"linear_head_dim": 8, "linear_num_heads": 4, **_LATENT, **_BOTH},
    "led": {"attention_window": 16},
    "lfm2": {"full_attn_idxs": [1]},
    "lfm2_moe": {"layer_types": ["conv", "full_attention"], "num_dense_layers": 1},
    "longcat_flash": _LATENT,
    "longformer": {"attention_window": 16},
    "luke": {"entity_vocab_size": 8, "entity_emb_size": 8},
    "mamba2": {"num_heads": 8, "n_groups": 1},
    "minicpm3": _LATENT,
    "nemotron_h": {"mamba_num_heads": 8, "mamba_head_dim": 8, "n_groups": 1, "layer_types": _NO},
    "nomic_bert": {"num_key_value_heads": 4},
    "prophetnet": {"num_hidden_layers": _NO},
    "qwen3_5_moe_text": _BOTH,
    "qwen3_5_text": _BOTH,
    "qwen3_next": _BOTH,
    "qwen4_exp_text": {
        "indexer_n_heads": 4,
        "indexer_kv_heads": 1,
        "indexer_head_dim": 8,
        "indexer_budget": 64,
        "indexer_compress_ratio": 4,
    },
    "recurrent_gemma": {"num_hidden_layers": 3},
    "reformer": {
        "axial_pos_shape": [8, 16],
        "axial_pos_embds_dim": [16, 16],
        "attn_layers": ["local", "lsh"],
        "hash_seed": 0,
        "num_buckets": 4,
    },
    "roc_bert": {"pronunciation_vocab_size": 8, "shape_vocab_size": 8},
    "rwkv": {"attention_hidden_size": 32},
    "squeezebert": {"embedding_size": 32},
    "t5gemma": {"encoder": _GEMMA, "decoder": _GEMMA},
    "t5gemma2": {
        "encoder": {"text_config": _GEMMA, "vision_config": {**_VISION, "image_size": 28, "patch_size": 14}},
        "decoder": _GEMMA,
        "image_token_index": 269,
    },
    "xlnet": {"max_position_embeddings": _NO},
    "xlstm": {"v_head_dim": _NO},
    "youtu": _LATENT,
    "zamba": {
        "attention_hidden_size": 64,
        "attention_head_dim": 16,
        "layers_block_type": ["mamba", "hybrid", "hybrid"],
        "mamba_dt_rank": 4,
        "num_hidden_layers": 3,
        "num_key_value_heads": 4,
    },
    "zamba2": {
        "attention_hidden_size": 64,
        "attention_head_dim": 16,
        "layer_types": ["mamba", "hybrid"],
        "mamba_headdim": 16,
        "mamba_ngroups": 1,
        "n_mamba_heads": 4,
        "num_mem_blocks": 1,
    },
    "zaya": {"num_experts_per_tok": 1},
}
_REASONS = {
    "reads images or sound as well as text; among the multimodal models of this list": (
        "cohere_compass emu3 fuyu gemma3 gemma4 gemma4_unified git got_ocr2 llama4 mllama "
        "moss_transcribe_diarize phi4_multimodal qwen3_5 qwen3_5_moe"
    ),
    "needs a CUDA kernel, without which its attention is replaced by zeros; refused": "mra",
    "cannot read text without an image; refused": "blip blip-2 idefics instructblip instructblipvideo kosmos-2",
    "reads texts as well as sound, through a class that is not supported; refused": (
        "audioflamingo3 fun_asr_nano glmasr granite_speech granite_speech_plus kyutai_speech_to_text musicflamingo "
        "nemo_speechlm qwen2_5_omni qwen2_audio qwen3_asr qwen3_omni_moe vibevoice_asr voxtral voxtral_realtime"
    ),
    "writes what an image or sound says; refused": (
        "florence2 pix2struct pp_formulanet udop vision-encoder-decoder whisper"
    ),
    "is the decoder of a model that reads images or sound, or writes sound": "moshi musicgen musicgen_melody trocr",
    "translates texts and sound; its text model was not tried": "seamless_m4t seamless_m4t_v2",
    "is a masked language model that also reads images or bytes; not tried": "modernvbert neomme perceiver ultravbert",
    "its image encoder needs the package timm; not tried": "fast_vlm gemma3n perception_lm",
    "its encoder of images or sound needs a small configuration written by hand; not tried": (
        "deepseek_ocr2 dots3_note granite4_vision janus muse_spark qwen4_exp unlimited_ocr"
    ),
    "replaces all tokens of a text at once, not one after the other": "diffusion_gemma",
    "controls a robot": "pi0",
    "reads proteins as well as texts; not tried": "evolla",
    "drafts tokens for another model, whose hidden states it reads": "gemma4_assistant gemma4_unified_assistant",
    "reads bytes in patches that a second model chooses; needs a small configuration written by hand; not tried": "blt",
    "is put together from any two other models, such as two BERTs; not tried": "encoder-decoder",
}
SKIPPED = {architecture: reason for reason, names in _REASONS.items() for architecture in names.split()}
"""Architectures without a tiny text model here, and why."""

_LONGROPE = {
    "rope_type": "longrope",
    "rope_theta": 1e4,
    "short_factor": [1.0] * 4,
    "long_factor": [4.0, 3.0, 2.0, 5.0],
    "original_max_position_embeddings": 24,
}
_YARN = {"rope_type": "yarn", "rope_theta": 1e4, "factor": 4.0, "original_max_position_embeddings": 24}
_DYNAMIC = {"rope_type": "dynamic", "rope_theta": 1e4, "factor": 4.0}
_LONG = {"rope_parameters": _LONGROPE, "original_max_position_embeddings": 24}
_CHUNKED = ["chunked_attention", "full_attention"]
_VARIANTS: dict[str, tuple[Family, str, dict[str, Any]]] = {
    "bert with is_decoder=False": ("decoder", "bert", {}),
    "bert with is_decoder=True": ("decoder", "bert", {"is_decoder": True}),
    "roberta with is_decoder=True": ("decoder", "roberta", {"is_decoder": True}),
    "gpt2 with 64 positions": ("decoder", "gpt2", {"n_positions": 64}),
    "gpt2 scaled by layer": ("decoder", "gpt2", {"scale_attn_by_inverse_layer_idx": True}),
    "opt with 64 positions": ("decoder", "opt", {"max_position_embeddings": 64}),
    "opt with norms behind": ("decoder", "opt", {"do_layer_norm_before": False}),
    "gpt_neo with 64 positions": ("decoder", "gpt_neo", {"max_position_embeddings": 64}),
    "gptj with 64 positions": ("decoder", "gptj", {"n_positions": 64}),
    "biogpt with 64 positions": ("decoder", "biogpt", {"max_position_embeddings": 64}),
    "ctrl with 64 positions": ("decoder", "ctrl", {"n_positions": 64}),
    "codegen with 64 positions": ("decoder", "codegen", {"n_positions": 64}),
    "falcon with alibi": ("decoder", "falcon", {"alibi": True}),
    "falcon in the new order": ("decoder", "falcon", {"new_decoder_architecture": True, "num_kv_heads": 2}),
    "mpt without alibi": ("decoder", "mpt", {"attn_config": {"alibi": False}}),
    "mistral with a window": ("decoder", "mistral", {"sliding_window": 16}),
    "mixtral with a window": ("decoder", "mixtral", {"sliding_window": 16}),
    "qwen2 with a window": (
        "decoder",
        "qwen2",
        {"use_sliding_window": True, "sliding_window": 16, "max_window_layers": 1},
    ),
    "gemma2 with a window": ("decoder", "gemma2", {"sliding_window": 16}),
    "gemma3 with a window": ("decoder", "gemma3_text", {"sliding_window": 16, "layer_types": None}),
    "cohere2 with a window": ("decoder", "cohere2", {"sliding_window": 16}),
    "gpt_oss with a window": ("decoder", "gpt_oss", {"sliding_window": 16}),
    "modernbert-decoder with a window": ("decoder", "modernbert-decoder", {"local_attention": 32}),
    "llama4 in chunks": ("decoder", "llama4_text", {"attention_chunk_size": 16, "layer_types": _CHUNKED}),
    "llama4 with attention scaled by place": (
        "decoder",
        "llama4_text",
        {"floor_scale": 40, "attn_scale": 1.0, "attn_temperature_tuning": True, "no_rope_layers": [1, 0]},
    ),
    "deepseek_v4 with longer blocks": (
        "decoder",
        "deepseek_v4",
        {
            "index_topk": 1000,
            "compress_rates": {"compressed_sparse_attention": 40, "heavily_compressed_attention": 48},
        },
    ),
    "llama with dynamic rope": ("decoder", "llama", {"rope_parameters": _DYNAMIC}),
    "llama with yarn": ("decoder", "llama", {"rope_parameters": _YARN}),
    "phi3 with longrope": ("decoder", "phi3", _LONG),
    "phi3 with longrope and a window": ("decoder", "phi3", {**_LONG, "sliding_window": 16}),
    "phimoe with longrope": (
        "decoder",
        "phimoe",
        {**_LONG, "rope_parameters": {**_LONGROPE, "short_mscale": 1.0, "long_mscale": 1.2}},
    ),
    "bart with 64 positions": ("encoder-decoder", "bart", {"max_position_embeddings": 64}),
    "t5 gated": ("encoder-decoder", "t5", {"feed_forward_proj": "gated-gelu", "tie_word_embeddings": False}),
    "longt5 transient": ("encoder-decoder", "longt5", {"encoder_attention_type": "transient-global"}),
    "longt5 with short radius": ("encoder-decoder", "longt5", {"local_radius": 7, "global_block_size": 4}),
    "switch_transformers of small capacity": (
        "encoder-decoder",
        "switch_transformers",
        {"expert_capacity": 3, "num_sparse_encoder_layers": 1, "num_sparse_decoder_layers": 1},
    ),
    "nllb-moe of small capacity": (
        "encoder-decoder",
        "nllb-moe",
        {"expert_capacity": 3, "encoder_sparse_step": 1, "decoder_sparse_step": 1},
    ),
    "nllb-moe that drops tokens": (
        "encoder-decoder",
        "nllb-moe",
        {"encoder_sparse_step": 1, "decoder_sparse_step": 1, "moe_eval_capacity_token_fraction": 0.2},
    ),
    "bigbird_pegasus in full": ("encoder-decoder", "bigbird_pegasus", {"attention_type": "original_full"}),
    "big_bird in full": ("encoder", "big_bird", {"attention_type": "original_full"}),
    "big_bird in small blocks": ("encoder", "big_bird", {"block_size": 4, "num_random_blocks": 1}),
    "bert with 64 positions": ("encoder", "bert", {"max_position_embeddings": 64}),
    "bert of relative positions": ("encoder", "bert", {"position_embedding_type": "relative_key"}),
    "roberta with 64 positions": ("encoder", "roberta", {"max_position_embeddings": 66}),
    "modernbert with a window": ("encoder", "modernbert", {"local_attention": 8}),
    "deberta of absolute positions": ("encoder", "deberta", {"relative_attention": False}),
    "deberta-v2 with a convolution": (
        "encoder",
        "deberta-v2",
        {"relative_attention": True, "pos_att_type": ["p2c", "c2p"], "position_buckets": 8, "conv_kernel_size": 3},
    ),
    "xmod of one language": ("encoder", "xmod", {"default_language": "en_XX"}),
    "funnel with attention factorized": ("encoder", "funnel", {"attention_type": "factorized"}),
}
# Their logits would be so large that rounding alone would exceed the tolerance.
_LARGE_LOGITS = "minicpm3 qwen3_5_moe_text qwen3_5_text qwen3_next rembert ultrabert xlm-roberta-xl"
_SMALL_WEIGHTS = "jamba lfm2 llama gpt2 mamba phi bloom qwen3_next bert convbert fnet t5 bart"


@dataclass(frozen=True)
class Configuration:
    """One model.

    Attributes:
        family: Its family.
        model_type: The architecture.
        options: Arguments of its configuration beyond the small sizes.
        scale: Standard deviation of its weight matrices.
    """

    family: Family
    model_type: str
    options: dict[str, Any] = field(default_factory=dict)
    scale: float = 0.15

    def model(self) -> PreTrainedModel:
        """Build the model, deterministically."""
        make = CONFIG_MAPPING[self.model_type]
        special = dict(self.options)
        if self.family == "decoder" and self.model_type == "reformer":
            special["is_decoder"] = True
        if self.family == "encoder-decoder":
            special["decoder_start_token_id"] = 2
        name = _MAPPINGS[self.family][self.model_type]
        torch.manual_seed(0)
        model_class = getattr(transformers, name if isinstance(name, str) else name[0])
        model: PreTrainedModel = model_class(make(**small_options(make(), special))).eval()
        # Some cannot make the cache of a plain call if all their layers are recurrent.
        model.config.use_cache = False
        with torch.no_grad():
            # Initial weights are too small to move the logits, and biases are zero.
            for parameter in model.parameters():
                if parameter.dim() > 1:
                    parameter.normal_(0, self.scale)
                else:
                    # Some are left uninitialized.
                    parameter.nan_to_num_(0.0).clamp_(-9, 9)
                    parameter.add_(torch.randn_like(parameter), alpha=self.scale / 4)
        return model


def small_options(default: Any, special: dict[str, Any]) -> dict[str, Any]:
    """Return the small sizes of a default configuration, and what its architecture needs beyond them."""
    sizes = {name: value for name, value in _SMALL.items() if hasattr(type(default), name) or _has(default, name)}
    options = [
        *sizes.items(),
        *_kinds(default).items(),
        *_SPECIAL.get(default.model_type, {}).items(),
        *special.items(),
    ]
    # One name each: a size must not override an option given by an alias.
    aliases = getattr(type(default), "attribute_map", {})
    merged = {aliases.get(name, name): value for name, value in options}
    return {name: value for name, value in merged.items() if value is not _NO}


def _kinds(default: Any) -> dict[str, list[str]]:
    """Return a layer of each of the first two kinds of a hybrid architecture, which may begin with several of one."""
    kinds = list(dict.fromkeys(default.to_dict().get("layer_types") or ()))
    return {"layer_types": kinds[:2]} if len(kinds) > 1 else {}


def _has(default: Any, name: str) -> bool:
    try:
        return hasattr(default, name)
    except Exception:  # noqa: BLE001 - some configurations raise their own errors
        return False


def _all() -> Iterator[tuple[str, Configuration]]:
    for family, mapping in _MAPPINGS.items():
        for model_type in mapping:
            if model_type not in SKIPPED:
                scale = 0.05 if model_type in _LARGE_LOGITS.split() else 0.15
                yield f"{model_type} as {family}", Configuration(family, model_type, scale=scale)
                if model_type in _SMALL_WEIGHTS.split():
                    yield f"{model_type} as {family} with small weights", Configuration(family, model_type, scale=0.02)
    for name, variant in _VARIANTS.items():
        yield name, Configuration(*variant)


CONFIGURATIONS: dict[str, Configuration] = dict(_all())


def each(usual: Iterable[str], *, families: Iterable[Family] = tuple(_MAPPINGS), without: Iterable[str] = ()) -> Any:
    """Return a decorator that gives a test each configuration's name; only `make architectures` runs the unusual."""
    names = [name for name, made in CONFIGURATIONS.items() if made.family in families and name not in without]
    return pytest.mark.parametrize(
        "name",
        [pytest.param(name, id=name, marks=[] if name in usual else pytest.mark.architectures) for name in names],
    )

"""A tiny random model of some architectures, deterministic."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import transformers
from transformers import PreTrainedModel

VOCABULARY = 61
HIDDEN = 32
INNER = 48
LAYERS = 2
HEADS = 4

_BERT: dict[str, Any] = {
    "vocab_size": VOCABULARY,
    "hidden_size": HIDDEN,
    "intermediate_size": INNER,
    "num_hidden_layers": LAYERS,
    "num_attention_heads": HEADS,
    "max_position_embeddings": 64,
}
_LLAMA: dict[str, Any] = {**_BERT, "num_key_value_heads": 2, "head_dim": 8}
_T5: dict[str, Any] = {
    "vocab_size": VOCABULARY,
    "d_model": HIDDEN,
    "d_kv": 8,
    "d_ff": INNER,
    "num_layers": LAYERS,
    "num_heads": HEADS,
    "relative_attention_num_buckets": 8,
    "decoder_start_token_id": 0,
}
_BART: dict[str, Any] = {
    "vocab_size": VOCABULARY,
    "d_model": HIDDEN,
    "encoder_layers": LAYERS,
    "decoder_layers": LAYERS,
    "encoder_attention_heads": HEADS,
    "decoder_attention_heads": HEADS,
    "encoder_ffn_dim": INNER,
    "decoder_ffn_dim": INNER,
    "max_position_embeddings": 64,
}
_OPT: dict[str, Any] = {
    "vocab_size": VOCABULARY,
    "hidden_size": HIDDEN,
    "ffn_dim": INNER,
    "num_hidden_layers": LAYERS,
    "num_attention_heads": HEADS,
    "max_position_embeddings": 64,
}
_FALCON: dict[str, Any] = {
    "vocab_size": VOCABULARY,
    "hidden_size": HIDDEN,
    "num_hidden_layers": LAYERS,
    "num_attention_heads": HEADS,
    "ffn_hidden_size": INNER,
    "alibi": False,
}
_EXPERTS: dict[str, Any] = {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 24}

# Name: model class, configuration class, options.
_RECIPES: dict[str, tuple[str, str, dict[str, Any]]] = {
    "bert": ("BertForMaskedLM", "BertConfig", _BERT),
    "bert_untied": ("BertForMaskedLM", "BertConfig", {**_BERT, "tie_word_embeddings": False}),
    "roberta": ("RobertaForMaskedLM", "RobertaConfig", _BERT),
    "distilbert": (
        "DistilBertForMaskedLM",
        "DistilBertConfig",
        {
            "vocab_size": VOCABULARY,
            "dim": HIDDEN,
            "hidden_dim": INNER,
            "n_layers": LAYERS,
            "n_heads": HEADS,
            "max_position_embeddings": 64,
        },
    ),
    "albert": ("AlbertForMaskedLM", "AlbertConfig", {**_BERT, "embedding_size": 16}),
    "electra": ("ElectraForMaskedLM", "ElectraConfig", {**_BERT, "embedding_size": 16}),
    "deberta_v2": (
        "DebertaV2ForMaskedLM",
        "DebertaV2Config",
        {
            **_BERT,
            "relative_attention": True,
            "pos_att_type": ["p2c", "c2p"],
            "position_buckets": 8,
            "conv_kernel_size": 3,
            "conv_act": "gelu",
        },
    ),
    "deberta_v2_own_positions": (
        "DebertaV2ForMaskedLM",
        "DebertaV2Config",
        {
            **_BERT,
            "relative_attention": True,
            "pos_att_type": ["p2c", "c2p"],
            "position_buckets": 8,
            "share_att_key": False,
            "legacy": False,
        },
    ),
    "deberta_v2_shared_key": (
        "DebertaV2ForMaskedLM",
        "DebertaV2Config",
        {
            **_BERT,
            "relative_attention": True,
            "pos_att_type": ["p2c", "c2p"],
            "position_buckets": 8,
            "share_att_key": True,
            "norm_rel_ebd": "layer_norm",
        },
    ),
    "modernbert": ("ModernBertForMaskedLM", "ModernBertConfig", {**_BERT, "pad_token_id": 0}),
    "t5": ("T5ForConditionalGeneration", "T5Config", _T5),
    "t5_gated": (
        "T5ForConditionalGeneration",
        "T5Config",
        {**_T5, "feed_forward_proj": "gated-gelu", "tie_word_embeddings": False},
    ),
    "mt5": ("MT5ForConditionalGeneration", "MT5Config", _T5),
    "bart": ("BartForConditionalGeneration", "BartConfig", _BART),
    "llama": ("LlamaForCausalLM", "LlamaConfig", _LLAMA),
    "llama_tied": ("LlamaForCausalLM", "LlamaConfig", {**_LLAMA, "tie_word_embeddings": True}),
    "mistral": ("MistralForCausalLM", "MistralConfig", _LLAMA),
    "qwen2": ("Qwen2ForCausalLM", "Qwen2Config", _LLAMA),
    "qwen3": ("Qwen3ForCausalLM", "Qwen3Config", _LLAMA),
    "gemma": ("GemmaForCausalLM", "GemmaConfig", _LLAMA),
    "gemma2": ("Gemma2ForCausalLM", "Gemma2Config", _LLAMA),
    "gemma3_text": ("Gemma3ForCausalLM", "Gemma3TextConfig", _LLAMA),
    "phi3": ("Phi3ForCausalLM", "Phi3Config", {**_LLAMA, "pad_token_id": 0}),
    "gpt2": (
        "GPT2LMHeadModel",
        "GPT2Config",
        {
            "vocab_size": VOCABULARY,
            "n_embd": HIDDEN,
            "n_inner": INNER,
            "n_layer": LAYERS,
            "n_head": HEADS,
            "n_positions": 64,
        },
    ),
    "gpt_neox": ("GPTNeoXForCausalLM", "GPTNeoXConfig", _BERT),
    "opt": ("OPTForCausalLM", "OPTConfig", _OPT),
    "opt_projected": ("OPTForCausalLM", "OPTConfig", {**_OPT, "word_embed_proj_dim": 16}),
    "falcon": ("FalconForCausalLM", "FalconConfig", {**_FALCON, "multi_query": False}),
    "falcon_multi_query": ("FalconForCausalLM", "FalconConfig", {**_FALCON, "multi_query": True}),
    "falcon_grouped": (
        "FalconForCausalLM",
        "FalconConfig",
        {**_FALCON, "new_decoder_architecture": True, "num_kv_heads": 2},
    ),
    "bloom": (
        "BloomForCausalLM",
        "BloomConfig",
        {"vocab_size": VOCABULARY, "hidden_size": HIDDEN, "n_layer": LAYERS, "n_head": HEADS},
    ),
    "mixtral": (
        "MixtralForCausalLM",
        "MixtralConfig",
        {**_LLAMA, "num_local_experts": 4, "num_experts_per_tok": 2},
    ),
    "qwen2_moe": (
        "Qwen2MoeForCausalLM",
        "Qwen2MoeConfig",
        {**_LLAMA, **_EXPERTS, "shared_expert_intermediate_size": 40},
    ),
    "qwen3_moe": ("Qwen3MoeForCausalLM", "Qwen3MoeConfig", {**_LLAMA, **_EXPERTS}),
}

ARCHITECTURES: tuple[str, ...] = tuple(_RECIPES)
ENCODER_DECODERS = ("t5", "t5_gated", "mt5", "bart")


def make_architecture(name: str, *, seed: int = 0) -> PreTrainedModel:
    """Build the model called ``name``, on the ``meta`` device inside ``torch.device("meta")``."""
    model_class, config_class, options = _RECIPES[name]
    make_config: Callable[..., Any] = getattr(transformers, config_class)
    special = {"bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0}
    torch.manual_seed(seed)
    config = make_config(**{**special, **options})
    model = getattr(transformers, model_class)(config).eval()
    with torch.no_grad():
        # Initial weights are too small to move the logits, and biases are zero.
        for parameter in model.parameters():
            if not parameter.is_meta:
                parameter.normal_(0, 0.2)
    return model


def make_tokens(*, rows: int = 2, length: int = 7) -> torch.Tensor:
    """Return token ids without special tokens."""
    return torch.randint(3, VOCABULARY, (rows, length), generator=torch.Generator().manual_seed(5))


def logits_of(model: PreTrainedModel) -> torch.Tensor:
    """Return a model's logits on ``make_tokens()``, for any family."""
    tokens = make_tokens()
    decoder = {"decoder_input_ids": tokens[:, :5]} if model.config.is_encoder_decoder else {}
    with torch.inference_mode():
        logits: torch.Tensor = model(input_ids=tokens, **decoder).logits
    return logits

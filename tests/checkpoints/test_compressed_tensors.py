"""Checkpoints in the compressed-tensors layouts load in that library.

Covers ``checkpoints.storage`` and ``checkpoints.formats``.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from checkpoints.reloading import assert_same, in_memory, loaded
from hypothesis import given, settings
from hypothesis import strategies as st
from models.architectures import logits_of
from safetensors.torch import load_file
from transformers import CompressedTensorsConfig

from forgetmeter.checkpoints.compressing import compress_checkpoint
from forgetmeter.checkpoints.storage import packed
from forgetmeter.errors import UserError
from forgetmeter.models.checkpoint import open_checkpoint

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
        ("llama_tied", "round_to_nearest:head:3"),
        ("llama", "round_to_nearest:feed_forward:4+l1_unstructured:overall:0.5"),
        ("bert", "l1_unstructured:overall:0.3+round_to_nearest:overall:5"),
        ("opt", "round_to_nearest:overall:2"),
        ("llama", "drop_layers:layers[0]/overall:1+round_to_nearest:overall:4"),
    ],
)
def test_transformers_reads_packed_integers(checkpoint: Save, tmp_path: Path, name: str, recipe: str) -> None:
    source = checkpoint(name)
    compress_checkpoint(str(source), recipe, tmp_path / "out", format="compressed-tensors")
    expected = in_memory(source, recipe)
    # From the file itself: a configuration passed by argument replaces the stored one.
    config = json.loads((tmp_path / "out" / "config.json").read_text())["quantization_config"]
    dequantizing = CompressedTensorsConfig(**config, dequantize=True)
    assert_same(loaded(tmp_path / "out", quantization_config=dequantizing), expected)


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
        ("mixtral", "round_to_nearest:overall:4", "is a tensor of experts; choose --format dense"),
        (
            "phi3",
            "round_to_nearest:attention.query:4",
            "quantizes only part of model.layers.0.self_attn.qkv_proj.weight",
        ),
        ("llama", "svd:overall:0.5", "'svd:overall:0.5' produces none"),
        ("llama", "baseline", "'baseline' produces none"),
        ("llama", "l1_unstructured:overall:0.5", "'l1_unstructured:overall:0.5' produces none"),
        ("llama", "round_to_nearest:attention:4+round_to_nearest:feed_forward:8", "the same bits and group size"),
        ("llama", "dynamic_int8:overall", "needs its own kernel"),
        ("t5", "round_to_nearest:overall:4", "not supported for models of type t5"),
        ("modernbert", "round_to_nearest:attention:4", "for models of type modernbert"),
        ("falcon", "round_to_nearest:attention:4", "for models of type falcon"),
        ("bert", "round_to_nearest:head:4", "cannot hold cls.predictions.decoder.weight"),
        ("bart", "round_to_nearest:head:4", "cannot hold lm_head.weight"),
    ],
)
def test_unsupported_formats_are_refused(checkpoint: Save, tmp_path: Path, name: str, recipe: str, says: str) -> None:
    source = checkpoint(name)
    with pytest.raises(UserError) as caught:
        compress_checkpoint(str(source), recipe, tmp_path / "out", format="compressed-tensors")
    assert says in str(caught.value)
    assert {path.name for path in tmp_path.iterdir()} == {source.name}


def test_a_packed_head_can_be_opened(checkpoint: Save, tmp_path: Path) -> None:
    compress_checkpoint(
        str(checkpoint("llama")), "round_to_nearest:head:8", tmp_path / "out", format="compressed-tensors"
    )
    assert open_checkpoint(str(tmp_path / "out")).matrices

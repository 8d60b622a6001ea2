"""Checkpoints whose token embedding was compressed, against the model compressed in memory."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from checkpoints.reloading import assert_same, in_memory, loaded
from safetensors.torch import load_file, save_file

from forgetmeter.checkpoints.compressing import compress_checkpoint

Save = Callable[..., Path]
EMBEDDING = 2363 * 64
"""Weights of the token embedding of ``standard:decoder``."""


@pytest.mark.parametrize("name", ["llama", "llama_tied", "bert", "t5", "bart", "gpt2"])
@pytest.mark.parametrize(
    "recipe",
    [
        "cast:token_embedding:dtype=bfloat16",
        "round_to_nearest:token_embedding:4",
        "l1_unstructured:token_embedding:0.3+round_to_nearest:attention:4",
    ],
)
def test_a_folder_holds_what_was_compressed_in_memory(checkpoint: Save, tmp_path: Path, name: str, recipe: str) -> None:
    source = checkpoint(name)
    compress_checkpoint(str(source), recipe, tmp_path / "out")
    assert_same(loaded(tmp_path / "out"), in_memory(source, recipe))


@pytest.mark.parametrize(
    ("name", "before", "after"),
    [
        ("llama_tied", "model.embed_tokens.weight", "lm_head.weight"),
        ("bert", "bert.embeddings.word_embeddings.weight", "cls.predictions.decoder.weight"),
        ("t5", "shared.weight", "encoder.embed_tokens.weight"),
    ],
)
@pytest.mark.parametrize(
    "recipe",
    [
        "cast:token_embedding:dtype=bfloat16",
        "round_to_nearest:overall:4+round_to_nearest:token_embedding:8",
        "round_to_nearest:head:4+round_to_nearest:token_embedding:8",
        "round_to_nearest:head:4",
    ],
)
def test_a_tied_embedding_may_be_stored_under_another_name(
    checkpoint: Save, tmp_path: Path, name: str, before: str, after: str, recipe: str
) -> None:
    source = checkpoint(name, shard_size="1GB")
    tensors = load_file(source / "model.safetensors")
    tensors[after] = tensors.pop(before)
    save_file(tensors, source / "model.safetensors", metadata={"format": "pt"})
    compress_checkpoint(str(source), recipe, tmp_path / "out")
    assert_same(loaded(tmp_path / "out"), in_memory(source, recipe))


def test_a_cast_embedding_takes_half_beside_packed_layers(tmp_path: Path) -> None:
    layers = "round_to_nearest:overall:4"
    plain, cast = (
        compress_checkpoint("standard:decoder", recipe, tmp_path / str(number), format="compressed-tensors")
        for number, recipe in enumerate((layers, f"{layers}+cast:token_embedding:dtype=bfloat16"))
    )
    # The file of another width has a header of its own.
    assert 0 < 2 * EMBEDDING - (plain.bytes_after - cast.bytes_after) < 20_000

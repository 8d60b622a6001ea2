"""Every failure gives a one-line error, leaves the source untouched and no output that looks finished.

Covers ``checkpoints.companions``, ``checkpoints.output_folder``, ``checkpoints.request``, ``checkpoints.source`` and
``models.files.small_files``.
"""

from __future__ import annotations

import errno
import json
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from scoring.batch_invariance.configurations import CONFIGURATIONS
from tiny_models import make_bart_tokenizer, make_tokenizer
from transformers import PretrainedConfig

from forgetmeter.checkpoints import compressing, output_folder
from forgetmeter.checkpoints.compressing import compress_checkpoint
from forgetmeter.errors import UserError
from forgetmeter.models.files.safetensors_file import SafetensorsWriter
from forgetmeter.models.files.small_files import copy_companions
from forgetmeter.models.loading import load

Save = Callable[..., Path]
PRUNE = "l1_unstructured:overall:0.5"


def refused(model: object, recipe: str, out: Path, **options: Any) -> str:
    """Return the one-line error of a refused request, and assert that nothing is left beside the model."""
    before = sorted(out.parent.rglob("*"))
    with pytest.raises(UserError) as caught:
        compress_checkpoint(str(model), recipe, out, **options)
    assert sorted(out.parent.rglob("*")) == before
    assert len(str(caught.value).splitlines()) == 1
    return str(caught.value)


@pytest.mark.parametrize(
    ("recipe", "says"),
    [
        ("l1_heads:attention:0.9", "would leave a layer without heads"),
        ("n_m:overall:m=5", "m=5 does not divide the 32 input units of model.layers.0"),
        ("dynamic_int8:overall", "needs its own kernel, and a checkpoint holds only weights"),
        ("l1_unstructured:cross_attention:0.5", "selects no weight matrix of the model"),
        ("l1_unstructured:overall:1.5", "takes a fraction from 0 to 1"),
        ("l1:overall:0.5", "unknown method 'l1'"),
        ("drop_layers:layers[0]/overall:1+svd:layers[0]/overall:0.5", "earlier steps dropped the layers of scope"),
        ("l1_unstructured", "is not a valid compression step"),
    ],
)
def test_recipes_that_do_not_fit(checkpoint: Save, tmp_path: Path, recipe: str, says: str) -> None:
    assert says in refused(checkpoint("llama"), recipe, tmp_path / "out")


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"format": "gguf"}, "--format: unknown format 'gguf' (allowed: dense, compressed-tensors, gptq)"),
        ({"dtype": "int8"}, "--dtype: unknown dtype 'int8'"),
        ({"max_shard_size": "5 gigabytes"}, "--max-shard-size: '5 gigabytes' is not a valid size"),
        ({"max_shard_size": "0MB"}, "--max-shard-size: '0MB' is not a valid size"),
    ],
)
def test_invalid_options_are_refused(checkpoint: Save, tmp_path: Path, options: dict[str, str], says: str) -> None:
    assert says in refused(checkpoint("llama"), PRUNE, tmp_path / "out", **options)


def test_existing_output_is_refused(checkpoint: Save, tmp_path: Path) -> None:
    source = checkpoint("llama")
    assert "already exists and is not empty" in refused(source, PRUNE, source)
    (tmp_path / "file").write_text("mine")
    assert "is a file" in refused(source, PRUNE, tmp_path / "file")
    (tmp_path / "empty").mkdir()
    compress_checkpoint(str(source), PRUNE, tmp_path / "empty")
    assert (tmp_path / "empty/config.json").is_file()


def test_output_that_cannot_be_replaced_is_refused_up_front(checkpoint: Save, tmp_path: Path) -> None:
    source = checkpoint("llama")
    (tmp_path / "empty").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "empty")
    assert "is a link, which cannot be replaced by a folder" in refused(source, PRUNE, tmp_path / "link")
    assert "is inside the model's own folder" in refused(source, PRUNE, source / "pruned")


@pytest.mark.skipif(sys.platform != "linux", reason="file names are Unicode elsewhere")
def test_output_whose_name_is_not_utf8_is_refused_for_that(checkpoint: Save, tmp_path: Path) -> None:
    said = refused(checkpoint("llama"), PRUNE, tmp_path / os.fsdecode(b"caf\xe9"))
    assert said.startswith("--out '")
    assert "its path is not UTF-8" in said


def test_a_companion_that_is_a_dangling_link(checkpoint: Save, tmp_path: Path) -> None:
    source = checkpoint("llama")
    (source / "tokenizer_extra.json").symlink_to(tmp_path / "none")
    assert "tokenizer_extra.json cannot be read" in refused(source, PRUNE, tmp_path / "out")


def test_an_empty_index(checkpoint: Save, tmp_path: Path) -> None:
    source = checkpoint("llama")
    (source / "model.safetensors.index.json").write_text('{"weight_map": {}}')
    assert "model.safetensors.index.json has no 'metadata', which transformers requires" in refused(
        source, PRUNE, tmp_path / "out"
    )


def test_a_missing_shard(checkpoint: Save, tmp_path: Path) -> None:
    source = checkpoint("llama")
    shard = sorted(source.glob("*.safetensors"))[1]
    shard.unlink()
    assert f"lists files that do not exist: {shard.name}; fetch them again" in refused(source, PRUNE, tmp_path / "out")


@pytest.mark.parametrize("share", [0.0, 0.02, 0.5, 0.999])
def test_a_truncated_shard(checkpoint: Save, tmp_path: Path, share: float) -> None:
    source = checkpoint("llama")
    shard = sorted(source.glob("*.safetensors"))[1]
    content = shard.read_bytes()
    shard.write_bytes(content[: int(share * len(content))])
    assert "truncated or damaged" in refused(source, PRUNE, tmp_path / "out")


def test_a_shard_that_shrinks_meanwhile(checkpoint: Save, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = checkpoint("llama", shard_size="1GB")

    def shrunk(*_: object) -> None:
        (source / "model.safetensors").write_bytes((source / "model.safetensors").read_bytes()[:-5000])

    monkeypatch.setattr("forgetmeter.checkpoints.compressing.check_room", shrunk)
    assert "ends in the middle of a tensor" in refused(source, PRUNE, tmp_path / "out")


def test_weights_a_method_cannot_compress(checkpoint: Save, tmp_path: Path) -> None:
    source = checkpoint("llama", shard_size="1GB")
    tensors = load_file(source / "model.safetensors")
    tensors["model.layers.1.mlp.up_proj.weight"][3, 4] = float("nan")
    save_file(tensors, source / "model.safetensors", metadata={"format": "pt"})
    for recipe in (PRUNE, "svd:overall:0.5", "n_m:overall"):
        assert "model.layers.1.mlp.up_proj.weight of" in refused(source, recipe, tmp_path / "out")


def test_a_model_that_is_already_quantized(checkpoint: Save, tmp_path: Path) -> None:
    pytest.importorskip("compressed_tensors")
    source = checkpoint("llama")
    compress_checkpoint(str(source), "round_to_nearest:overall:4", tmp_path / "four", format="compressed-tensors")
    assert "is already quantized" in refused(tmp_path / "four", PRUNE, tmp_path / "out")


@pytest.mark.parametrize("key", ["quantization_config", "compression_config"])
def test_quantization_declared_anywhere_in_the_configuration(checkpoint: Save, tmp_path: Path, key: str) -> None:
    source = checkpoint("llama")
    config = json.loads((source / "config.json").read_text())
    (source / "config.json").write_text(json.dumps(config | {key: {"quant_method": "mxfp4"}}))
    assert "is already quantized" in refused(source, PRUNE, tmp_path / "out")


def test_a_checkpoint_without_its_head(checkpoint: Save, tmp_path: Path) -> None:
    source = checkpoint("llama", shard_size="1GB")
    tensors = load_file(source / "model.safetensors")
    del tensors["lm_head.weight"]
    save_file(tensors, source / "model.safetensors", metadata={"format": "pt"})
    assert "the checkpoint lacks 1 weight," in refused(source, PRUNE, tmp_path / "out")


def test_too_little_disk_space_is_reported_up_front(
    checkpoint: Save, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = checkpoint("llama")
    usage = type("Usage", (), {"free": 70_000})
    monkeypatch.setattr(output_folder.shutil, "disk_usage", lambda _: usage)
    monkeypatch.setattr(SafetensorsWriter, "append", lambda *_: pytest.fail("work was done"))
    says = refused(source, PRUNE, tmp_path / "out")
    assert "bytes are needed, but the disk has 70,000 free" in says


@pytest.mark.parametrize("recipe", [PRUNE, f"svd:attention:0.5+{PRUNE}"])
@pytest.mark.parametrize("name", ["llama", "mixtral"])
def test_a_disk_that_fills_up(
    checkpoint: Save, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, recipe: str
) -> None:
    source = checkpoint(name)
    done = []

    def append(writer: SafetensorsWriter, name: str, tensor: torch.Tensor) -> None:
        done.append(name)
        if len(done) > 5:
            raise OSError(errno.ENOSPC, "No space left on device")
        original(writer, name, tensor)

    def save(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    original = SafetensorsWriter.append
    monkeypatch.setattr(SafetensorsWriter, "append", append)
    monkeypatch.setattr("transformers.PreTrainedModel.save_pretrained", save)
    assert "the disk is full; no files were left behind" in refused(source, recipe, tmp_path / "out")


def test_a_folder_that_cannot_be_created(checkpoint: Save, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert "cannot be written" in refused(checkpoint("llama"), PRUNE, tmp_path / "file" / "out")


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError])
def test_any_other_failure_leaves_nothing(
    checkpoint: Save, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: type[BaseException]
) -> None:
    source = checkpoint("llama")

    def finish(*_: object) -> None:
        raise error

    monkeypatch.setattr(SafetensorsWriter, "finish", finish)
    with pytest.raises(error):
        compress_checkpoint(str(source), PRUNE, tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == [source.name]


def test_pickled_weights(checkpoint: Save, tmp_path: Path) -> None:
    source = checkpoint("llama", shard_size="1GB")
    (source / "model.safetensors").rename(source / "pytorch_model.bin")
    assert "only pickled weights" in refused(source, PRUNE, tmp_path / "out")


def test_a_damaged_index(checkpoint: Save, tmp_path: Path) -> None:
    source = checkpoint("llama")
    (source / "model.safetensors.index.json").write_text(json.dumps({"weight_map": 3}))
    assert "is damaged" in refused(source, PRUNE, tmp_path / "out")


@pytest.mark.parametrize("what", ["missing", "another"])
def test_a_tokenizer_that_would_change(
    llama_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    def copy(source: Path, target: Path) -> None:
        copy_companions(source, target)
        if what == "missing":
            (target / "tokenizer.json").unlink()
        else:
            content = json.loads((target / "tokenizer.json").read_text(encoding="utf-8"))
            content["normalizer"] = {"type": "Lowercase"}
            (target / "tokenizer.json").write_text(json.dumps(content), encoding="utf-8")

    monkeypatch.setattr(compressing, "copy_companions", copy)
    said = refused(llama_folder, PRUNE, tmp_path / "out")
    assert said.startswith("the tokenizer of") or "its tokenizer is missing or damaged" in said


@pytest.mark.parametrize("recipe", ["baseline", "l1_unstructured:attention:0.5", PRUNE])
@pytest.mark.parametrize("check", [True, False])
def test_weights_beyond_the_range_of_float16(llama_folder: Path, tmp_path: Path, recipe: str, check: bool) -> None:
    shutil.copytree(llama_folder, tmp_path / "large")
    weights = load_file(llama_folder / "model.safetensors")
    weights["model.layers.1.mlp.up_proj.weight"][3, 2] = -1e5
    # Others that are float16 already do not change what is too large.
    weights["model.norm.weight"] = weights["model.norm.weight"].half()
    save_file(weights, tmp_path / "large" / "model.safetensors", metadata={"format": "pt"})
    said = refused(tmp_path / "large", recipe, tmp_path / "out", dtype="float16", check=check)
    assert "model.layers.1.mlp.up_proj.weight has weights that are too large for float16; choose bfloat16" in said
    with pytest.raises(UserError, match="too large for float16"):
        load(tmp_path / "large", dtype="float16")
    assert load(tmp_path / "large", dtype="bfloat16").model.dtype == torch.bfloat16


def test_weights_that_are_not_numbers(llama_folder: Path, tmp_path: Path) -> None:
    shutil.copytree(llama_folder, tmp_path / "broken")
    weights = load_file(llama_folder / "model.safetensors")
    weights["model.norm.weight"][0] = torch.nan
    save_file(weights, tmp_path / "broken" / "model.safetensors", metadata={"format": "pt"})
    assert "gives NaN or infinite logits" in refused(tmp_path / "broken", PRUNE, tmp_path / "out")


@pytest.mark.parametrize(
    "name", ["funnel as encoder", "gemma4_text as decoder", "olmo_hybrid as decoder", "prophetnet as decoder"]
)
def test_blocks_that_a_configuration_cannot_do_without(tmp_path: Path, name: str) -> None:
    source = tmp_path / "model"
    CONFIGURATIONS[name].model().save_pretrained(source)
    (make_bart_tokenizer() if name.startswith("funnel") else make_tokenizer()).save_pretrained(source)
    said = refused(source, "drop_layers:overall:0.5", tmp_path / "out")
    assert "configuration" in said
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("recipe", [PRUNE, "drop_layers:overall:0.5"])
def test_a_disk_that_is_full_when_the_configuration_is_written(
    llama_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, recipe: str
) -> None:
    def full(*_: Any, **__: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(PretrainedConfig, "save_pretrained", full)
    said = refused(llama_folder, recipe, tmp_path / "out")
    assert "the disk is full; no files were left behind" in said
    assert "configuration" not in said


@pytest.mark.parametrize("url", ["s3://bucket/out", "memory://out"])
def test_an_output_that_is_a_url(checkpoint: Save, url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = checkpoint("llama")
    monkeypatch.chdir(tmp_path)
    before = sorted(tmp_path.iterdir())
    with pytest.raises(UserError, match="is a URL; name a local folder"):
        compress_checkpoint(source, PRUNE, url)
    assert sorted(tmp_path.iterdir()) == before

"""Checkpoints that are already quantized: what they are, their sizes, what recipes on them say, and their evaluation.

Covers ``records.packed_source`` and ``report.words.size_words``.
"""

from __future__ import annotations

import io
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from models.on_disk.test_stored_weights import Q_PROJ, changed, in_float8
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import AutoModelForCausalLM, TorchAoConfig
from written_ggufs import write_llama_gguf

from forgetmeter.checkpoints.compressing import compress_checkpoint
from forgetmeter.cli.scope_table import print_scopes_of
from forgetmeter.compression.applying.compressor import compress
from forgetmeter.errors import UserError
from forgetmeter.models.checkpoint import open_checkpoint
from forgetmeter.models.loading import load
from forgetmeter.models.on_disk.quantization import described, maker_of, may_share_ranges, misread_setting
from forgetmeter.records.item import Item, Request, Requests
from forgetmeter.report.formats.show_text import show_text
from forgetmeter.results.frontier import frontiers
from forgetmeter.results.results import open_run
from forgetmeter.scoring.batch_invariance.detection import find_sharing
from forgetmeter.scoring.engine import Engine
from forgetmeter.scoring.families.decoder import run_decoder
from forgetmeter.study.running import check_study, reader, run

PRUNE = "l1_unstructured:overall:0.5"
ZERO_POINTS = {"num_bits": 4, "type": "int", "symmetric": False, "strategy": "group", "group_size": 32}
GROUP = {"weights": {"num_bits": 4, "type": "int"}, "input_activations": {"num_bits": 8}}
PACKED = {"quant_method": "compressed-tensors", "format": "pack-quantized", "config_groups": {"group_0": GROUP}}
TORCHAO = {"quant_method": "torchao", "quant_type": {"default": {"_type": "Int4WeightOnlyConfig"}}}


@pytest.mark.parametrize(
    ("method", "says"),
    [
        ({"quant_method": "gptq", "bits": 4, "group_size": 128}, "gptq, 4 bits, groups of 128"),
        ({"quant_method": "awq", "bits": 4, "group_size": -1}, "awq, 4 bits"),
        (
            {"quant_method": "bitsandbytes", "load_in_4bit": True, "bnb_4bit_compute_dtype": "float16"},
            "bitsandbytes, 4 bits",
        ),
        ({"quant_method": "bitsandbytes", "load_in_8bit": True, "load_in_4bit": False}, "bitsandbytes, 8 bits"),
        ({"quant_method": "fp8", "weight_block_size": [128, 128]}, "fp8, 8 bits"),
        ({"quant_method": "mxfp4"}, "mxfp4, 4 bits"),
        ({"quant_method": "hqq", "quant_config": {"weight_quant_params": {"nbits": 3}}}, "hqq, 3 bits"),
        ({"quant_method": "quanto", "weights": "int2"}, "quanto, 2 bits"),
        (TORCHAO, "torchao, 4 bits"),
        (PACKED, "compressed-tensors, format pack-quantized, 4 bits"),
        ({"quant_method": "aqlm"}, "aqlm"),
        ({"bits": 4}, "unnamed method, 4 bits"),
    ],
)
def test_a_method_is_described_by_name_format_and_bits(method: dict[str, Any], says: str) -> None:
    assert described(method) == says


@pytest.mark.parametrize(
    ("method", "says"),
    [
        ({"quant_method": "gptq", "meta": {"quantizer": ["gptqmodel:7.6.0"]}}, "gptqmodel 7.6.0"),
        ({"quant_method": "gptq", "meta": {"quantizer": "auto_gptq"}}, "auto_gptq"),
        ({"quant_method": "auto-round", "autoround_version": "0.16.1"}, "AutoRound 0.16.1"),
        ({"quant_method": "compressed-tensors", "version": "0.20.0"}, "compressed-tensors 0.20.0"),
        ({"quant_method": "awq", "version": "gemm"}, ""),
        ({"quant_method": "fp8", "meta": 3}, ""),
    ],
)
def test_the_program_that_made_a_checkpoint(method: dict[str, Any], says: str) -> None:
    assert maker_of(method) == says


def packed(llama_folder: Path, tmp_path: Path, method: dict[str, Any]) -> Path:
    def with_integers(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
        return tensors | {Q_PROJ.replace("weight", "qweight"): torch.zeros(4, 32, dtype=torch.int32)}

    return changed(llama_folder, tmp_path / "quantized", with_integers, quantization_config=method)


def in_int8(llama_folder: Path, folder: Path) -> Path:
    """Quantize by torchao's own weight-only quantization."""
    quantization = pytest.importorskip("torchao.quantization")
    config = TorchAoConfig(quantization.Int8WeightOnlyConfig())
    AutoModelForCausalLM.from_pretrained(llama_folder, quantization_config=config).save_pretrained(folder)
    for file in llama_folder.glob("tokenizer*"):
        shutil.copy(file, folder)
    return folder


def checked(folder: Path, tmp_path: Path, *recipes: str) -> None:
    recipes = recipes or ("baseline",)
    asked = {"models": [str(folder)], "recipes": list(recipes), "tasks": ["facts"], "output": str(tmp_path / "run")}
    check_study(reader(asked))


@pytest.mark.parametrize("method", [PACKED, TORCHAO, {"quant_method": "bitsandbytes", "load_in_4bit": True}])
def test_every_command_says_what_a_quantized_model_is_and_what_to_do(
    llama_folder: Path, tmp_path: Path, method: dict[str, Any]
) -> None:
    """Without the library that reads it, if need be."""
    folder = packed(llama_folder, tmp_path, method)
    requests = (
        lambda: checked(folder, tmp_path, "baseline", PRUNE),
        lambda: compress_checkpoint(folder, PRUNE, tmp_path / "out"),
        lambda: print_scopes_of(str(folder), open(tmp_path / "scopes", "w")),  # noqa: PTH123, SIM115
    )
    for request in requests:
        with pytest.raises(UserError) as error:
            request()
        assert f"is already quantized ({described(method)}), and only plain weights can" in str(error.value)
        assert "evaluate it as it is, without recipes, or compress the ch" in str(error.value)


def test_a_compressed_tensors_checkpoint_is_evaluated_but_not_compressed(llama_folder: Path, tmp_path: Path) -> None:
    pytest.importorskip("compressed_tensors")
    folder = tmp_path / "four"
    compress_checkpoint(llama_folder, "round_to_nearest:overall:4", folder, format="compressed-tensors")
    checked(folder, tmp_path)
    with pytest.raises(UserError, match=r"\(compressed-tensors, format pack-quantized, 4 bits\)"):
        compress(load(folder), PRUNE)


@pytest.mark.parametrize(("strategy", "level"), [("token", "equal lengths"), ("tensor", "alone")])
def test_texts_share_rows_only_if_their_activations_have_ranges_of_their_own(
    llama_folder: Path, tmp_path: Path, strategy: str, level: str
) -> None:
    pytest.importorskip("compressed_tensors")
    compress_checkpoint(llama_folder, "round_to_nearest:overall:8", tmp_path / "w8", format="compressed-tensors")
    assert find_sharing(load(tmp_path / "w8"), run_decoder, longest=64)[0].level == "packed"
    folder = shutil.copytree(llama_folder, tmp_path / "w8a8")
    tensors = load_file(folder / "model.safetensors")
    for name in [name for name in tensors if name.endswith("proj.weight")]:
        tensors[f"{name}_scale"] = scale = tensors[name].abs().amax(1, keepdim=True) / 127
        tensors[name] = (tensors[name] / scale).round().to(torch.int8)
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    eight = {"num_bits": 8, "type": "int", "symmetric": True}
    group = {
        "targets": ["Linear"],
        "weights": eight | {"strategy": "channel"},
        "input_activations": eight | {"strategy": strategy, "dynamic": True},
    }
    config = json.loads((folder / "config.json").read_text())
    config["quantization_config"] = {
        "quant_method": "compressed-tensors",
        "format": "int-quantized",
        "quantization_status": "compressed",
        "ignore": ["lm_head"],
        "config_groups": {"group_0": group},
    }
    (folder / "config.json").write_text(json.dumps(config))
    loaded = load(folder)
    assert find_sharing(loaded, run_decoder, longest=64)[0].level == level
    check_independence(Engine(loaded))


@pytest.mark.parametrize(("dynamic", "level"), [(True, "alone"), (False, "equal lengths")])
def test_texts_share_rows_only_if_their_keys_and_values_have_ranges_of_their_own(
    llama_folder: Path, tmp_path: Path, dynamic: bool, level: str
) -> None:
    pytest.importorskip("compressed_tensors")
    folder = tmp_path / "w8"
    compress_checkpoint(llama_folder, "round_to_nearest:overall:8", folder, format="compressed-tensors")
    if not dynamic:
        shards = list(folder.glob("*.safetensors"))
        tensors = {name: tensor for shard in shards for name, tensor in load_file(shard).items()}
        for file in (*shards, *folder.glob("*.index.json")):
            file.unlink()
        for name in [name for name in tensors if name.endswith(("k_proj.weight_scale", "v_proj.weight_scale"))]:
            tensors[name.replace("_proj.weight_scale", "_scale")] = torch.full((1,), 0.02)
        save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    config = json.loads((folder / "config.json").read_text())
    config["quantization_config"]["kv_cache_scheme"] = {
        "num_bits": 4,
        "type": "int",
        "symmetric": True,
        "strategy": "tensor",
        "dynamic": dynamic,
    }
    (folder / "config.json").write_text(json.dumps(config))
    loaded = load(folder)
    assert find_sharing(loaded, run_decoder, longest=64)[0].level == level
    check_independence(Engine(loaded))


def check_independence(engine: Engine) -> None:
    requests = [Request("the inn", " tin"), Request("the inn", " in a thin hint"), Request("a hint of tea", " hits")]
    items = [Item(f"x/{n}", "", Requests([each])) for n, each in enumerate(requests)]
    together = engine.score(engine.prepare(items))
    apart = [answer for item in items for answer in engine.score(engine.prepare([item]))]
    for one, other in zip(together, apart, strict=True):
        assert [each.loglikelihood for each in one] == pytest.approx([each.loglikelihood for each in other], abs=1e-5)


@pytest.mark.parametrize(
    ("method", "does"),
    [
        ({"quant_method": "gptq", "bits": 4}, False),
        ({"quant_method": "bitsandbytes", "load_in_4bit": True}, False),
        ({"quant_method": "bitsandbytes", "load_in_8bit": True}, True),
        ({"quant_method": "compressed-tensors", "config_groups": {"a": {"input_activations": None}}}, False),
        (
            {"quant_method": "compressed-tensors", "config_groups": {"a": {"input_activations": {"dynamic": False}}}},
            False,
        ),
        ({"config_groups": {"a": {"output_activations": {"dynamic": True, "strategy": "tensor"}}}}, True),
        ({"config_groups": {}, "kv_cache_scheme": {"dynamic": True, "strategy": "tensor"}}, True),
        ({"config_groups": {}, "kv_cache_scheme": {"dynamic": True, "strategy": "attn_head"}}, True),
        ({"config_groups": {}, "kv_cache_scheme": {"dynamic": False, "strategy": "tensor"}}, False),
        ({"quant_method": "torchao", "quant_type": "int8_dynamic_activation_int8_weight"}, True),
        ({}, True),
    ],
)
def test_methods_that_may_round_activations_of_several_texts_alike(method: dict[str, Any], does: bool) -> None:
    assert may_share_ranges(method) == does


def test_a_torchao_checkpoint_is_evaluated_but_not_compressed(llama_folder: Path, tmp_path: Path) -> None:
    folder = in_int8(llama_folder, tmp_path / "int8")
    checked(folder, tmp_path)
    loaded = load(folder)
    assert compress(loaded, "baseline").name == loaded.name
    with pytest.raises(UserError, match=r"is already quantized \(torchao, 8 bits\)"):
        compress(loaded, PRUNE)


def test_scales_that_do_not_divide_a_weight_into_its_blocks_are_refused(llama_folder: Path, tmp_path: Path) -> None:
    """torchao would apply one scale to all of them."""
    folder = in_int8(llama_folder, tmp_path / "int8")
    tensors, metadata = load_file(folder / "model.safetensors"), {}
    with safe_open(folder / "model.safetensors", "pt") as file:
        metadata = file.metadata()
    name = next(name for name in tensors if "up_proj" in name and name.endswith("scale"))
    save_file(tensors | {name: tensors[name].flatten()[:1].clone()}, folder / "model.safetensors", metadata=metadata)
    with pytest.raises(UserError, match=r"up_proj\.weight has 1 scale for 48 blocks of weights; fetch the checkpoint"):
        load(folder)


def test_a_packed_shape_that_is_not_the_layers_is_refused(llama_folder: Path, tmp_path: Path) -> None:
    """compressed-tensors would unpack as many input units as it says."""
    pytest.importorskip("compressed_tensors")
    folder = tmp_path / "four"
    compress_checkpoint(llama_folder, "round_to_nearest:overall:4", folder, format="compressed-tensors")
    name = "model.layers.0.mlp.up_proj.weight_shape"
    file = next(file for file in folder.glob("*.safetensors") if name in load_file(file))
    tensors = load_file(file)
    assert tensors[name].tolist() == [48, 32]
    tensors[name][1] = 16
    save_file(tensors, file, metadata={"format": "pt"})
    with pytest.raises(UserError, match=r"weight_shape says \[48, 16\], but the layer's weight has shape \[48, 32\]"):
        load(folder)


def test_groups_that_name_no_format_have_that_of_the_checkpoint(llama_folder: Path, tmp_path: Path) -> None:
    """As in files of older versions; the library would look for weights in a format that it guesses."""
    pytest.importorskip("compressed_tensors")
    tensors = load_file(llama_folder / "model.safetensors")
    names = [name for name in tensors if "proj" in name]
    expected = load(llama_folder).model
    for name in names:
        scale = tensors[name].abs().amax(1, keepdim=True) / 127
        tensors |= {name: (tensors[name] / scale).round().to(torch.int8), f"{name}_scale": scale}
        expected.get_parameter(name).data = tensors[name] * scale
    weights = {"num_bits": 8, "type": "int", "symmetric": True, "strategy": "channel"}
    method = {
        "quant_method": "compressed-tensors",
        "format": "int-quantized",
        "quantization_status": "compressed",
        "config_groups": {"group_0": {"targets": ["Linear"], "weights": weights}},
        "ignore": ["lm_head"],
    }
    folder = changed(llama_folder, tmp_path / "int8", lambda _: tensors, quantization_config=method)
    tokens = torch.randint(2, 250, (2, 20), generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        torch.testing.assert_close(load(folder).model(tokens).logits, expected(tokens).logits, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("form", [["pack-quantized"], 4, "./file.py:name"])
@pytest.mark.parametrize("is_of_group", [False, True])
def test_a_format_that_is_no_name_is_refused(form: Any, is_of_group: bool, llama_folder: Path, tmp_path: Path) -> None:
    group = {"targets": ["Linear"], "weights": {"num_bits": 4}} | ({"format": form} if is_of_group else {})
    method = {"quant_method": "compressed-tensors", "config_groups": {"group_0": group}}
    folder = packed(llama_folder, tmp_path, method if is_of_group else {**method, "format": form})
    with pytest.raises(UserError, match="the quantization in its config.json has the format .*, which is not the name"):
        checked(folder, tmp_path)


def test_float8_is_dequantized_on_every_device(
    llama_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a GPU, transformers would keep 8-bit floats, which methods would read without their scales."""
    method = {"quant_method": "fp8", "weight_block_size": [128, 128]}
    folder = changed(
        llama_folder,
        tmp_path / "fp8",
        lambda tensors: in_float8(tensors, suffix="_scale_inv"),
        quantization_config=method,
    )
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("torch.cuda.get_device_capability", lambda *_: (9, 0))
    loaded = load(folder, device="cpu")
    assert {parameter.dtype for parameter in loaded.model.parameters()} == {torch.float32}
    assert compress(loaded, PRUNE).name.endswith(PRUNE)
    compress_checkpoint(folder, PRUNE, tmp_path / "out")


def test_an_unknown_method_is_named_as_such(llama_folder: Path, tmp_path: Path) -> None:
    folder = packed(llama_folder, tmp_path, {"quant_method": "superquant", "bits": 4})
    with pytest.raises(UserError, match="is quantized by 'superquant', which is not supported"):
        checked(folder, tmp_path, PRUNE)


@pytest.fixture(params=["gguf", "fp8", "torchao", "compressed-tensors"])
def small(request: pytest.FixtureRequest, llama_folder: Path, tmp_path: Path) -> tuple[Path, str, int]:
    """A model, its format, and the bytes of its file."""
    if request.param == "gguf":
        write_llama_gguf(tmp_path / "model.gguf")
        return tmp_path / "model.gguf", "GGUF, mostly F32", (tmp_path / "model.gguf").stat().st_size
    folder = tmp_path / "small"
    if request.param == "fp8":
        method = {"quant_method": "fp8", "weight_block_size": [128, 128]}
        changed(llama_folder, folder, lambda each: in_float8(each, suffix="_scale_inv"), quantization_config=method)
    elif request.param == "torchao":
        in_int8(llama_folder, folder)
    else:
        pytest.importorskip("compressed_tensors")
        compress_checkpoint(llama_folder, "round_to_nearest:overall:4", folder, format="compressed-tensors")
    form = {"fp8": "fp8, 8 bits", "torchao": "torchao, 8 bits"}.get(
        request.param, "compressed-tensors, format pack-quantized, 4 bits"
    )
    return folder, form, sum(file.stat().st_size for file in folder.glob("*.safetensors"))


def test_both_sizes_are_given_of_the_file_and_of_the_model_it_is_read_as(
    small: tuple[Path, str, int], llama_folder: Path, tmp_path: Path
) -> None:
    path, form, size = small
    plain = load(llama_folder if path.is_dir() else path).model
    dense = 4 * sum(parameter.numel() for parameter in plain.parameters())
    reading = "unpacked" if form in ("GGUF, mostly F32", "fp8, 8 bits") else "kernel"
    source = open_checkpoint(path).packed
    assert source is not None
    assert (source.format, source.bytes, source.dense_bytes, source.reading) == (form, size, dense, reading)
    run({"models": [str(path)], "tasks": ["facts:templates=0"], "evaluation.limit": 1, "recipes": ["baseline"],
         "output": str(tmp_path / "run")})  # fmt: skip
    results = open_run(str(tmp_path / "run"))
    assert list(results.variants["dense_bytes"]) == [dense]
    assert {role: results.variants[f"bits.{role}"].item() for role in source.bits} == source.bits
    said = " ".join(show_text(results.summary).split())
    assert f"takes {size / 1e6:.3f} MB as stored ({form}), and {dense / 1e6:.3f} MB as float32." in said
    assert "Variants' sizes are counted from the latter, and may exceed the file's." in said
    assert {"unpacked": "are unpacked to floating-point numbers", "kernel": "stay packed"}[reading] in said
    assert f"Bits per weight: attention {source.bits['attention']:.3g}, embedding " in said
    assert [each.source for each in frontiers(results.summary)] == [source]
    plain = open_checkpoint(llama_folder)
    assert (plain.packed, plain.reading) == (None, "plain")


def test_list_scopes_and_compress_give_both_sizes_of_a_gguf(tmp_path: Path) -> None:
    write_llama_gguf(tmp_path / "model.gguf")
    stream = io.StringIO()
    print_scopes_of(str(tmp_path / "model.gguf"), stream)
    (said,) = [line for line in stream.getvalue().splitlines() if "as stored (GGUF, mostly F32)" in line]
    assert said in compress_checkpoint(tmp_path / "model.gguf", PRUNE, tmp_path / "out").notes


def groups(*weights: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {**PACKED, "config_groups": {f"group_{n}": {"weights": each} for n, each in enumerate(weights)}, **more}


@pytest.mark.parametrize(
    "other",
    [{"num_bits": 8}, {"group_size": 64}, {"symmetric": True}, {"strategy": "channel", "group_size": None}],
)
def test_layers_that_transformers_unpacks_with_settings_of_others_are_refused(other: dict[str, Any]) -> None:
    says = misread_setting(groups(ZERO_POINTS, ZERO_POINTS | other))
    assert says == "its layers have different settings, and transformers would unpack all with those of the first group"
    # Its own kernels have settings for each layer.
    symmetric = ZERO_POINTS | {"symmetric": True}
    if other != {"symmetric": True}:
        assert misread_setting(groups(symmetric, symmetric | other)) is None
    assert misread_setting(groups(ZERO_POINTS, ZERO_POINTS | {"observer": "mse"})) is None


def test_transformed_activations_are_refused(llama_folder: Path, tmp_path: Path) -> None:
    method = groups(ZERO_POINTS, transform_config={"config_groups": {"R4": {"type": "hadamard"}}})
    folder = changed(llama_folder, tmp_path / "transformed", quantization_config=method)
    with pytest.raises(
        UserError, match=r"transforms activations \(transform_config\), which transformers ignores; use"
    ):
        open_checkpoint(folder).check()

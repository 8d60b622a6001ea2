"""Checkpoints that are already quantized: what they are, what recipes on them say, and that they can be evaluated."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from models.test_stored_weights import Q_PROJ, changed, in_float8
from torch import Tensor
from transformers import AutoModelForCausalLM, TorchAoConfig

from forgetmeter.checkpoints.compressing import compress_checkpoint
from forgetmeter.cli.scope_table import print_scopes_of
from forgetmeter.compression.applying.compressor import compress
from forgetmeter.errors import UserError
from forgetmeter.models.loading import load
from forgetmeter.models.quantization import described
from forgetmeter.study.running import check_study, reader

PRUNE = "l1_unstructured:overall:0.5"
AWQ = {"quant_method": "awq", "bits": 4, "group_size": 32}
GROUP = {"weights": {"num_bits": 4, "type": "int"}, "input_activations": {"num_bits": 8}}
PACKED = {"quant_method": "compressed-tensors", "format": "pack-quantized", "config_groups": {"group_0": GROUP}}
TORCHAO = {"quant_method": "torchao", "quant_type": {"default": {"_type": "Int4WeightOnlyConfig"}}}


@pytest.mark.parametrize(
    ("method", "says"),
    [
        ({"quant_method": "gptq", "bits": 4, "group_size": 128}, "gptq, 4 bits"),
        (AWQ, "awq, 4 bits"),
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


@pytest.mark.parametrize("method", [PACKED, TORCHAO, AWQ, {"quant_method": "bitsandbytes", "load_in_4bit": True}])
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
        assert "evaluate it as it is, with the recipe 'baseline' alone, or compress the ch" in str(error.value)


def test_a_compressed_tensors_checkpoint_is_evaluated_but_not_compressed(llama_folder: Path, tmp_path: Path) -> None:
    pytest.importorskip("compressed_tensors")
    folder = tmp_path / "four"
    compress_checkpoint(llama_folder, "round_to_nearest:overall:4", folder, format="compressed-tensors")
    checked(folder, tmp_path)
    with pytest.raises(UserError, match=r"\(compressed-tensors, format pack-quantized, 4 bits\)"):
        compress(load(folder), PRUNE)


def test_a_torchao_checkpoint_is_evaluated_but_not_compressed(llama_folder: Path, tmp_path: Path) -> None:
    folder = in_int8(llama_folder, tmp_path / "int8")
    checked(folder, tmp_path)
    loaded = load(folder)
    assert compress(loaded, "baseline").name == loaded.name
    with pytest.raises(UserError, match=r"is already quantized \(torchao, 8 bits\)"):
        compress(loaded, PRUNE)


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
    with pytest.raises(UserError, match=r"\(fp8, 8 bits\).*apply recipes to its dequantized weights"):
        compress_checkpoint(folder, PRUNE, tmp_path / "out")


def test_an_unknown_method_is_named_as_such(llama_folder: Path, tmp_path: Path) -> None:
    folder = packed(llama_folder, tmp_path, {"quant_method": "superquant", "bits": 4})
    with pytest.raises(UserError, match="is quantized by 'superquant', which is not supported"):
        checked(folder, tmp_path, PRUNE)

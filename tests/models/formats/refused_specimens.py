"""Checkpoints that are refused here: of formats that nothing reads, or whose package is not installed.

Their tensors have the names, dtypes and shapes of the format, and made-up values.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from models.formats.gguf_specimens import NOT_DECODED, unreadable
from models.formats.packed_specimens import AWQ, FP8, GPTQ, plain_base
from models.formats.specimen import Specimen
from safetensors.torch import load_file, save_file
from torch import Tensor

Parts = Callable[[int, int], Mapping[str, Tensor]]


def _zeros(dtype: torch.dtype, *shape: int) -> Tensor:
    return torch.zeros(shape).to(dtype)


def _nvfp4(rows: int, columns: int) -> Mapping[str, Tensor]:
    scales = _zeros(torch.float8_e4m3fn, rows, columns // 16)
    return {"weight": _zeros(torch.uint8, rows, columns // 2), "weight_scale": scales, "weight_scale_2": torch.ones(())}


def _nf4(rows: int, columns: int) -> Mapping[str, Tensor]:
    size = rows * columns
    return {
        "weight": _zeros(torch.uint8, size // 2, 1),
        "weight.absmax": torch.ones(size // 64),
        "weight.quant_map": torch.ones(16),
        "weight.quant_state.bitsandbytes__nf4": _zeros(torch.uint8, 90),
    }


def _hqq(rows: int, columns: int) -> Mapping[str, Tensor]:
    groups = rows * columns // 64
    return {"W_q": _zeros(torch.uint8, groups // 2, 64), "scale": torch.ones(groups, 1), "zero": torch.ones(groups, 1)}


def _exl3(rows: int, columns: int) -> Mapping[str, Tensor]:
    trellis = _zeros(torch.int16, columns // 16, rows // 16, 64)
    return {"trellis": trellis, "suh": _zeros(torch.float16, columns), "svh": _zeros(torch.float16, rows)}


def _mlx(rows: int, columns: int) -> Mapping[str, Tensor]:
    return {
        "weight": _zeros(torch.uint32, rows, columns // 8),
        "scales": _zeros(torch.float16, rows, columns // 32),
        "biases": _zeros(torch.float16, rows, columns // 32),
    }


def _aqlm(rows: int, columns: int) -> Mapping[str, Tensor]:
    codes = _zeros(torch.int16, rows, columns // 8, 1)
    return {"codes": codes, "codebooks": torch.ones(1, 256, 1, 8), "scales": torch.ones(rows, 1, 1, 1)}


def _int8(scale: str) -> Parts:
    return lambda rows, columns: {"weight": _zeros(torch.int8, rows, columns), scale: torch.ones(rows)}


def _sparse(rows: int, columns: int) -> Mapping[str, Tensor]:
    return {
        "compressed": torch.ones(rows * columns // 2),
        "bitmask": _zeros(torch.uint8, rows, columns // 8),
        "row_offsets": _zeros(torch.int64, rows),
        "shape": torch.tensor([rows, columns]),
    }


def _packed_words(rows: int, columns: int) -> Mapping[str, Tensor]:
    return {"qweight": _zeros(torch.int32, columns // 8, rows)}


def writer(parts: Parts, method: Mapping[str, Any]) -> Callable[[Path], None]:
    """Return a writer of a Llama whose projections are stored in these parts."""

    def write(folder: Path) -> None:
        plain_base(folder)
        tensors = {}
        for name, tensor in load_file(folder / "model.safetensors").items():
            if name.endswith("proj.weight"):
                made = parts(*tensor.shape)
                tensors |= {f"{name.removesuffix('weight')}{part}": each for part, each in made.items()}
            else:
                tensors[name] = tensor
        save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
        config = json.loads((folder / "config.json").read_text())
        (folder / "config.json").write_text(json.dumps(config | {"quantization_config": dict(method)}))

    return write


SPARSE = {"quant_method": "compressed-tensors", "sparsity_config": {"format": "sparse-bitmask", "targets": ["Linear"]}}
BNB = {"quant_method": "bitsandbytes"}
HQQ = {"quant_method": "hqq", "quant_config": {"weight_quant_params": {"nbits": 4, "group_size": 64}}}
AQLM = {"quant_method": "aqlm", "in_group_size": 8, "nbits_per_codebook": 16, "num_codebooks": 1}

SPECIMENS: tuple[Specimen, ...] = (
    Specimen("NVFP4", "`modelopt`", "NVIDIA ModelOpt", writer(_nvfp4, {"quant_method": "modelopt", "bits": 4})),
    Specimen("NVFP4", "`nvfp4`", "transformers", writer(_nvfp4, {"quant_method": "nvfp4"})),
    Specimen(
        "bitsandbytes", "int8", "transformers", writer(_int8("SCB"), {**BNB, "load_in_8bit": True}), "bitsandbytes"
    ),
    Specimen("bitsandbytes", "nf4", "transformers", writer(_nf4, {**BNB, "load_in_4bit": True}), "bitsandbytes"),
    Specimen("HQQ", "4 bits", "hqq", writer(_hqq, HQQ), "hqq"),
    Specimen(
        "quanto",
        "int8",
        "optimum-quanto",
        writer(_int8("weight_scale"), {"quant_method": "quanto", "weights": "int8"}),
        "optimum-quanto",
    ),
    Specimen("EXL3", "4 bits", "ExLlamaV3", writer(_exl3, {"quant_method": "exl3", "bits": 4.0})),
    Specimen("MLX", "4 bits", "mlx-lm", writer(_mlx, {"bits": 4, "group_size": 32})),
    Specimen("AQLM", "", "AQLM", writer(_aqlm, AQLM), "aqlm"),
    Specimen(
        "FP8", "`fbgemm_fp8`", "transformers", writer(_int8("weight_scale"), {**FP8, "quant_method": "fbgemm_fp8"})
    ),
    Specimen("GPTQ", "`marlin`", "GPTQModel", writer(_packed_words, {**GPTQ, "checkpoint_format": "marlin"})),
    Specimen("AWQ", "`gemv`", "AutoAWQ", writer(_packed_words, {**AWQ, "version": "gemv"})),
    Specimen("compressed-tensors", "sparse-bitmask", "older llm-compressor", writer(_sparse, SPARSE)),
    *(Specimen("GGUF", kind, "llama.cpp", unreadable) for kind in NOT_DECODED),
)

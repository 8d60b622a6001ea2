"""Checkpoints that the compressed-tensors library writes."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Mapping
from contextlib import redirect_stderr
from pathlib import Path
from typing import Any

import torch
from models.formats.packed_specimens import plain_base
from models.formats.specimen import Specimen
from models.unpacking.packed_checkpoints import wide_llama
from tiny_models import make_tokenizer
from torch import Tensor
from transformers import PreTrainedModel

GROUP = {"strategy": "group", "group_size": 32}
CHANNEL = {"strategy": "channel"}
FLOAT8 = {"num_bits": 8, "type": "float"}
FLOAT4 = {"num_bits": 4, "type": "float"}
BY_TOKEN = {"num_bits": 8, "strategy": "token", "dynamic": True}
# Settings of the library's presets, with scales of 8 bits.
NVFP4 = {**FLOAT4, "strategy": "tensor_group", "group_size": 16, "scale_dtype": torch.float8_e4m3fn}
MX = {**GROUP, "scale_dtype": torch.uint8, "zp_dtype": torch.uint8}
LARGEST_SCALE, LARGEST_FLOAT4 = 448, 6


def writer(
    form: str, weights: Mapping[str, Any], activations: Mapping[str, Any] | None = None
) -> Callable[[Path], PreTrainedModel]:
    """Return a writer of a Llama in one of the library's formats; its plain weights are those it was rounded to."""

    def write(folder: Path) -> PreTrainedModel:
        from compressed_tensors.compressors import ModelCompressor
        from compressed_tensors.quantization import (
            QuantizationArgs,
            QuantizationConfig,
            QuantizationScheme,
            apply_quantization_config,
        )

        arguments = QuantizationArgs(**weights)
        scheme = QuantizationScheme(
            targets=["Linear"],
            weights=arguments,
            input_activations=QuantizationArgs(**activations) if activations else None,
        )
        model, plain = wide_llama(), wide_llama()
        groups = {"group_0": scheme}
        apply_quantization_config(model, QuantizationConfig(config_groups=groups, ignore=["lm_head"], format=form))
        for name, module in model.named_modules():
            if getattr(module, "quantization_scheme", None) is not None:
                plain.get_submodule(name).weight.data = _calibrated(module, arguments)
        with redirect_stderr(io.StringIO()):
            compressor = ModelCompressor.from_pretrained_model(model, form)
            compressor.compress_model(model)
        model.save_pretrained(folder)
        compressor.update_config(folder)
        make_tokenizer().save_pretrained(folder)
        return plain

    return write


def _calibrated(module: Any, arguments: Any) -> Tensor:
    """Set the scales and zero points of a layer by its extremes, and return its weights as rounded to them."""
    from compressed_tensors.quantization.lifecycle.forward import fake_quantize
    from compressed_tensors.quantization.utils import calculate_qparams

    weight, whole = module.weight.detach(), None
    if hasattr(module, "weight_global_scale"):
        whole = (LARGEST_SCALE * LARGEST_FLOAT4 / weight.abs().max()).reshape(1)
        module.weight_global_scale.data = whole
    scale, zero = calculate_qparams(*_extremes(weight, arguments), arguments, whole)
    module.weight_scale.data = scale.to(module.weight_scale.dtype)
    if hasattr(module, "weight_zero_point"):
        module.weight_zero_point.data = zero.to(module.weight_zero_point.dtype)
    zero = getattr(module, "weight_zero_point", None)
    return fake_quantize(weight, module.weight_scale.data, zero, arguments, global_scale=whole).detach().float()


def _extremes(weight: Tensor, arguments: Any) -> tuple[Tensor, Tensor]:
    rows, columns = weight.shape
    if arguments.strategy == "tensor":
        blocks, shape = weight.reshape(1, -1), (1,)
    elif arguments.strategy == "channel":
        blocks, shape = weight, (rows, 1)
    elif arguments.strategy == "block":
        height, width = arguments.block_structure
        shape = (rows // height, columns // width)
        blocks = weight.view(shape[0], height, shape[1], width).transpose(1, 2).reshape(-1, height * width)
    else:
        blocks, shape = weight.view(-1, arguments.group_size), (rows, columns // arguments.group_size)
    return blocks.amin(1).view(shape), blocks.amax(1).view(shape)


def _specimen(form: str, variant: str, *settings: Mapping[str, Any]) -> Specimen:
    is_ours = form == "pack-quantized" and "symmetric" in variant
    makers = "llm-compressor, `forgetmeter compress`" if is_ours else "llm-compressor"
    return Specimen(f"compressed-tensors {form}", variant, makers, writer(form, *settings), "compressed-tensors")


def pruned(folder: Path) -> PreTrainedModel:
    """Write a Llama in floating-point numbers with the statement of how many of them are zero."""
    model = plain_base(folder)
    config = json.loads((folder / "config.json").read_text())
    sparsity = {"format": "dense", "global_sparsity": 0.5, "sparsity_structure": "2:4", "targets": ["Linear"]}
    method = {"quant_method": "compressed-tensors", "format": "dense", "sparsity_config": sparsity}
    (folder / "config.json").write_text(json.dumps(config | {"quantization_config": method}))
    return model


SPECIMENS: tuple[Specimen, ...] = (
    *(
        _specimen(
            "pack-quantized",
            f"{bits} bits, {size}, {'symmetric' if symmetric else 'with zero points'}",
            {"num_bits": bits, "symmetric": symmetric, **groups},
        )
        for bits in (4, 8)
        for size, groups in (("groups of 32", GROUP), ("per-channel", CHANNEL))
        for symmetric in (True, False)
    ),
    _specimen("pack-quantized", "3 bits, groups of 32, symmetric", {"num_bits": 3, **GROUP}),
    _specimen("int-quantized", "W8A16", {"num_bits": 8, **CHANNEL}),
    _specimen("int-quantized", "W8A8, per-token activations", {"num_bits": 8, **CHANNEL}, BY_TOKEN),
    _specimen("float-quantized", "FP8, per-tensor", {**FLOAT8, "strategy": "tensor"}),
    _specimen("float-quantized", "FP8, per-block", {**FLOAT8, "strategy": "block", "block_structure": [32, 32]}),
    _specimen("float-quantized", "FP8, per-token activations", {**FLOAT8, **CHANNEL}, {**BY_TOKEN, "type": "float"}),
    _specimen("naive-quantized", "8-bit integers", {"num_bits": 8, **CHANNEL}),
    _specimen("naive-quantized", "4-bit integers", {"num_bits": 4, **CHANNEL}),
    _specimen("naive-quantized", "FP8", {**FLOAT8, **CHANNEL}),
    _specimen("nvfp4-pack-quantized", "NVFP4", {**NVFP4, "zp_dtype": torch.float8_e4m3fn}),
    _specimen("mxfp4-pack-quantized", "MXFP4", {**FLOAT4, **MX}),
    _specimen("mxfp6-pack-quantized", "MXFP6", {**MX, "num_bits": 6, "type": "float"}),
    _specimen("mxfp8-quantized", "MXFP8", {**FLOAT8, **MX}),
    Specimen("compressed-tensors dense", "pruned", "llm-compressor", pruned),
)

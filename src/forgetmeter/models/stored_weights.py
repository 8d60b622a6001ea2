"""Whether the tensors of a checkpoint are what its configuration says: plain numbers, or quantized in a known way.

Weights of few bits that are read as plain numbers give a model that answers, and answers noise.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from math import prod
from pathlib import Path
from typing import Any

from torch import Tensor
from transformers import PreTrainedModel
from transformers.conversion_mapping import get_model_conversion_mapping
from transformers.core_model_loading import WeightConverter, WeightRenaming, rename_source_key
from transformers.quantizers.auto import AUTO_QUANTIZATION_CONFIG_MAPPING, AutoHfQuantizer

from forgetmeter.errors import UserError
from forgetmeter.models.model_files import TensorHeader

_WIDTHS = {"F64": 8, "F32": 4, "F16": 2, "BF16": 2}
"""Bytes of what is stored as plain numbers."""
_SCALE = "_scale_inv"
_RECOMPUTED = ("inv_freq", "masked_bias", "position_ids", "token_type_ids")
# The last part of the name of what stands beside weights of few bits, whoever wrote them.
_BESIDE_QUANTIZED = re.compile(
    r"scale|zero|absmax|quant|pack|qweight|g_idx|bitmask|compress|blocks|codes|codebook|lut|SCB|nested|perm"
)


def refuse_overflow(name: str, values: Tensor, before: Tensor | None = None) -> None:
    """Refuse a tensor that was cast to a dtype whose range it exceeds.

    Args:
        name: Its name.
        values: The tensor after the cast.
        before: The tensor before the cast; ``None`` if it was finite.

    Raises:
        UserError: A finite value became infinite.
    """
    if values.is_floating_point() and bool(values.isinf().any()) and (before is None or not before.isinf().any()):
        dtype = str(values.dtype).removeprefix("torch.")
        raise UserError(f"{name} has weights that are too large for {dtype}; choose bfloat16 or float32")


def stored_weight_bytes(
    headers: Iterable[TensorHeader], method: Mapping[str, Any] | None, model: PreTrainedModel
) -> dict[str, int]:
    """Return how many bytes one weight of each parameter takes in a checkpoint, by the parameter's name.

    A parameter that transformers puts together from several tensors, such as experts, counts as most of the
    checkpoint does. A checkpoint that is quantized already has no such number, and nothing is returned for it.

    Args:
        headers: The checkpoint's tensors.
        method: What its configuration says of its quantization.
        model: The model.
    """
    if method is not None:
        return {}
    name_of, places = name_in(model), model.state_dict()
    found: dict[str, int] = {}
    totals: Counter[int] = Counter()
    for stored in headers:
        if width := _WIDTHS.get(stored.dtype):
            totals[width] += prod(stored.shape)
            key = name_of(stored.name)
            if key is not None and key in places:
                found[key] = width
    most = next((width for width, _ in totals.most_common(1)), None)
    return {} if most is None else {name: found.get(name, most) for name, _ in model.named_parameters()}


def refuse_misread_weights(headers: Iterable[TensorHeader], method: Mapping[str, Any] | None, name: str) -> None:
    """Refuse a checkpoint whose tensors are not what its configuration says.

    Args:
        headers: The checkpoint's tensors.
        method: What its configuration says of its quantization.
        name: The model's name in errors.

    Raises:
        UserError: It is quantized by a method that is not known; or its configuration names a method, and its weights
            are plain; or its weights are of few bits, and no method is named; or its blocks do not divide its weights.
    """
    tensors = {header.name: header for header in headers}
    few_bits = next((key for key, tensor in tensors.items() if _is_few_bits(key, tensor)), None)
    if method is None:
        if few_bits is not None:
            scales = next((key for key in tensors if "scale" in key.rpartition(".")[2]), None)
            raise UserError(
                f"model '{name}': {few_bits} is stored as {tensors[few_bits].dtype}"
                f"{f', with scales beside it ({scales}),' if scales else ''} and config.json has no "
                "quantization_config that says how to read it; fetch the model again with its own config.json"
            )
        return
    quant_method = _known_method(method, name)
    if few_bits is None and not any(_BESIDE_QUANTIZED.search(key.rpartition(".")[2]) for key in tensors):
        raise UserError(
            f"model '{name}': config.json says that it is quantized ({quant_method}), and its weights are plain; "
            "if they are as they should be, remove quantization_config from config.json"
        )
    if problem := next(_without_scales(tensors, method), None):
        raise UserError(f"model '{name}': {problem}")
    if problem := next(_undivided_blocks(tensors, method), None):
        raise UserError(f"model '{name}': {problem}")


def refuse_unread_tensors(model: PreTrainedModel, unexpected: Iterable[str], name: str) -> None:
    """Refuse a checkpoint that holds more of a layer than the model has a place for, such as scales or a bias.

    So it is with more blocks, or experts, than the configuration counts. Tensors of layers that the model does not
    have (another head, a vision tower) are no such sign: they are left out.

    Args:
        model: The model, which may be on the ``meta`` device.
        unexpected: Names of tensors that it has no place for.
        name: Its name in errors.

    Raises:
        UserError: There is such a tensor.
    """
    prefix = f"{model.base_model_prefix}."
    modules = dict(model.named_modules())
    owners = {path for path, module in modules.items() if any(True for _ in module.parameters(recurse=False))}
    layers = {_unnumbered(path) for path in {*owners, *(path for path in modules if re.search(r"\.\d+(\.|$)", path))}}

    def is_of_a_layer(key: str) -> bool:
        *parents, last = _unnumbered(key).split(".")
        # What is recomputed from the configuration, and masks that old releases stored beside an attention.
        if last in _RECOMPUTED or (last == "bias" and key.rpartition(".")[0] in modules.keys() - owners):
            return False
        paths = [".".join(parents[:end]) for end in range(len(parents), 0, -1)]
        return any({path, path.removeprefix(prefix), f"{prefix}{path}"} & layers for path in paths)

    found = sorted(filter(is_of_a_layer, unexpected))
    if found:
        more = f" and {len(found) - 1} more" if len(found) > 1 else ""
        raise UserError(
            f"model '{name}': the checkpoint holds {found[0]}{more}, which the model described by its config.json has "
            "no place for; without them the layer would compute something else. Use the config.json that belongs to "
            "the checkpoint, or the original, unquantized and merged checkpoint"
        )


def refuse_doubled_tensors(headers: Iterable[TensorHeader], model: PreTrainedModel, name: str) -> None:
    """Refuse a checkpoint that holds a tensor of the model twice, such as with and without the ``model.`` prefix.

    Only one of the two would be read.

    Args:
        headers: The checkpoint's tensors.
        model: The model, which may be on the ``meta`` device.
        name: Its name in errors.

    Raises:
        UserError: There is such a tensor.
    """
    name_of, prefix = name_in(model), f"{model.base_model_prefix}."
    places = model.state_dict().keys()
    seen: dict[str, tuple[str, Path]] = {}
    for header in headers:
        stored, file = header.name, header.file
        key = name_of(stored)
        if key is not None and key not in places:
            continue
        first, where = seen.setdefault(key or stored.removeprefix(prefix), (stored, file))
        if (first, where) != (stored, file):
            twice = f"{first} and {stored}" if first != stored else f"{stored} in {where.name} and {file.name}"
            raise UserError(
                f"model '{name}': the checkpoint holds {twice}, the same tensor of the model twice, and only one "
                "of them would be read; remove the wrong one, or fetch the checkpoint again"
            )


def _unnumbered(path: str) -> str:
    """Return a layer's name without its numbers, the same in all blocks."""
    return re.sub(r"\.\d+(?=\.|$)", ".*", path)


def quantization(stored: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """Return what a model's ``config.json`` says of its quantization, as a mapping; ``None`` where it says nothing."""
    for part in (stored, stored.get("text_config")):
        for key in ("quantization_config", "compression_config", "quantization"):
            if isinstance(part, dict) and part.get(key):
                return part[key] if isinstance(part[key], dict) else {"quant_method": str(part[key])}
    return None


def _known_method(method: Mapping[str, Any], name: str) -> str:
    quant_method = str(method.get("quant_method"))
    try:
        known = AutoHfQuantizer.supports_quant_method(dict(method))
    except ValueError:
        known = False
    if not known:
        said = f"by '{quant_method}'" if "quant_method" in method else "in a way that its config.json does not name"
        raise UserError(
            f"model '{name}' is quantized {said}, which cannot be read here "
            f"(transformers reads {', '.join(sorted(AUTO_QUANTIZATION_CONFIG_MAPPING))}); give the checkpoint that it "
            "was made from"
        )
    return quant_method


def _without_scales(tensors: Mapping[str, TensorHeader], method: Mapping[str, Any]) -> Iterator[str]:
    """Say which weight of FP8 has no scales beside it."""
    for key, tensor in tensors.items():
        is_float8 = tensor.dtype.startswith("F8") and key.endswith(".weight")
        if method.get("quant_method") == "fp8" and is_float8 and f"{key}{_SCALE}" not in tensors:
            yield f"{key} is stored as {tensor.dtype}, and its scales ({key}{_SCALE}) are missing; fetch it again"


def _undivided_blocks(tensors: Mapping[str, TensorHeader], method: Mapping[str, Any]) -> Iterator[str]:
    """Say where FP8's blocks do not divide a weight: transformers then takes other blocks than the maker did."""
    blocks = method.get("weight_block_size")
    if method.get("quant_method") != "fp8" or not blocks:
        return
    for key, scale in tensors.items():
        weight = tensors.get(key.removesuffix(_SCALE)) if key.endswith(_SCALE) else None
        if weight is None:
            continue
        sizes = zip(weight.shape[-2:], scale.shape[-2:], blocks, strict=False)
        if any(scales > 1 and size != scales * block for size, scales, block in sizes):
            yield (
                f"{key.removesuffix(_SCALE)} is {list(weight.shape)}, which blocks of {list(blocks)} do not divide; "
                "transformers would read it wrong. Give the checkpoint that it was made from"
            )


def _is_few_bits(key: str, tensor: TensorHeader) -> bool:
    """Whether a tensor can only be a quantized weight: floats of 8 bits or fewer, or a layer's weights as integers."""
    if tensor.dtype in _WIDTHS:
        return False
    is_weight = key.endswith(".weight") or (key.endswith(".bias") and len(tensor.shape) < 2)
    return is_weight or tensor.dtype.startswith(("F8", "F4", "F6"))


def name_in(model: PreTrainedModel) -> Callable[[str], str | None]:
    """Return a function that gives the model's name for a tensor of a checkpoint, as ``from_pretrained`` reads it.

    The name is that of a parameter or buffer, or none that the model has where it has no place for the tensor. It is
    ``None`` where transformers puts the tensor together with others, takes it apart or turns it.
    """
    transforms = get_model_conversion_mapping(model)
    renamings = [each for each in transforms if isinstance(each, WeightRenaming)]
    converters = [each for each in transforms if isinstance(each, WeightConverter)]
    places = model.state_dict()

    def name(stored: str) -> str | None:
        key, converter = rename_source_key(stored, renamings, converters, model.base_model_prefix, places)
        return str(key) if converter is None else None

    return name

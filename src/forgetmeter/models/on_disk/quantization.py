"""Checkpoints that are already quantized: by which method, to how many bits, and what can be done with them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from transformers import PreTrainedModel

from forgetmeter.basics.plural import joined

_DEQUANTIZED = ("mxfp4",)
"""Methods whose weights transformers always dequantizes for us: their kernels would run on some devices only."""
_IN_BFLOAT16 = ("nvfp4-pack-quantized", "mxfp4-pack-quantized", "mxfp6-pack-quantized", "mxfp8-quantized")
"""Formats of compressed-tensors whose layers compute in bfloat16, whatever the model's dtype."""
_KEYS = ("quantization_config", "compression_config", "quantization")
_WEIGHTS_ALONE = ("gptq", "awq", "hqq")
_BITS = ("bits", "num_bits", "nbits", "w_bit", "wbits")
_LOADED_IN = {"load_in_4bit": 4, "load_in_8bit": 8}
_GROUP_SIZES = ("group_size", "q_group_size")
_VERSIONS = {"auto-round": ("autoround_version", "AutoRound"), "compressed-tensors": ("version", "compressed-tensors")}
"""By method, the setting that holds the version of the program that wrote it, and the program's name."""
_ACTIVATIONS = ("input_activations", "output_activations")
_KEYS_AND_VALUES = "kv_cache_scheme"
_NOT_OF_WEIGHTS = (*_ACTIVATIONS, _KEYS_AND_VALUES)
_WITHIN_TOKENS = ("token", "group", "tensor_group")
"""Strategies of compressed-tensors that scale each token by itself."""
_FORMAT = re.compile(r"[\w-]*")
_NAMED_BITS = re.compile(r"(?:int|fp|float|nf)(\d+)", re.IGNORECASE)


def quantization(stored: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """Return the quantization method in a model's ``config.json`` as a mapping, or ``None``."""
    for part in (stored, stored.get("text_config")):
        for key in _KEYS:
            if isinstance(part, dict) and part.get(key):
                method = part[key] if isinstance(part[key], dict) else {"quant_method": str(part[key])}
                return None if _is_sparse_alone(method) else method
    return None


def _is_sparse_alone(method: Mapping[str, Any]) -> bool:
    """Whether the settings only state how many weights are zero, and all are stored as floating-point numbers."""
    sparsity = method.get("sparsity_config")
    is_dense = isinstance(sparsity, Mapping) and sparsity.get("format") == "dense"
    return method.get("quant_method") == "compressed-tensors" and is_dense and not method.get("config_groups")


def describe_as_plain(config: Any) -> None:  # noqa: ANN401 - transformers is not followed by mypy
    """Change a quantized model's configuration to describe its weights as floating-point numbers in float32."""
    for part in (config, getattr(config, "text_config", None)):
        if part is not None:
            part.dtype = torch.float32
    remove_method(config)


def remove_method(config: Any) -> None:  # noqa: ANN401
    """Remove the quantization method from a model's configuration."""
    for part in (config, getattr(config, "text_config", None)):
        for key in _KEYS:
            if hasattr(part, key):
                delattr(part, key)


def quantization_in_memory(model: PreTrainedModel) -> Mapping[str, Any] | None:
    """Return the method by which a loaded model's weights are quantized; ``None`` if they are not."""
    return quantization(model.config.to_dict()) or {} if getattr(model, "is_quantized", False) else None


def quantizes_activations(method: Mapping[str, Any]) -> bool:
    """Whether a quantization method rounds activations, too; true if nothing is known about it.

    The smallest difference of a sum, as between batches of different shapes, can then become a whole quantization step.
    """
    if isinstance(method.get("config_groups"), Mapping):
        return any(True for _ in _of_activations(method))
    name = method.get("quant_method")
    return not (getattr(name, "value", name) in _WEIGHTS_ALONE or method.get("load_in_4bit") is True)


def may_share_ranges(method: Mapping[str, Any]) -> bool:
    """Whether activations of several texts may be rounded with one shared range; true for unknown methods.

    For compressed-tensors, only if scales are dynamic, and not those of a token or of a part of it.
    """
    if isinstance(method.get("config_groups"), Mapping):
        return any(
            each.get("dynamic") and each.get("strategy") not in _WITHIN_TOKENS for each in _of_activations(method)
        )
    return quantizes_activations(method)


def _of_activations(method: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """Yield how compressed-tensors rounds activations, keys and values of attention included."""
    for group in method["config_groups"].values():
        for key in _ACTIVATIONS:
            if isinstance(group, Mapping) and isinstance(group.get(key), Mapping):
                yield group[key]
    if isinstance(method.get(_KEYS_AND_VALUES), Mapping):
        yield method[_KEYS_AND_VALUES]


def is_dequantized(method: Mapping[str, Any]) -> bool:
    """Whether the weights of a quantization method are floating-point numbers once they are loaded.

    Those of compressed-tensors are dequantized where its layers fail: with zero points packed beside packed weights,
    whose shape is not that of the layers' parameter, and with formats that only run in bfloat16.
    """
    if method.get("quant_method") != "compressed-tensors":
        return method.get("quant_method") in _DEQUANTIZED
    forms = {method.get("format"), *(each.get("format") for each in _schemes(method))}
    has_zero_points = any(each.get("symmetric") is False for each in _of_weights(method))
    return bool(forms & set(_IN_BFLOAT16)) or ("pack-quantized" in forms and has_zero_points)


def _schemes(method: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    groups = method.get("config_groups")
    return [each for each in groups.values() if isinstance(each, Mapping)] if isinstance(groups, Mapping) else []


def _of_weights(method: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return [each["weights"] for each in _schemes(method) if isinstance(each.get("weights"), Mapping)]


def give_format_to_groups(method: Mapping[str, Any]) -> None:
    """Give groups of compressed-tensors that name no format the checkpoint's own, as in files of its older versions.

    Newer ones would guess a format instead.
    """
    form = method.get("format")
    if form in (None, "mixed-precision"):
        return
    for group in _schemes(method):
        if group.get("format") is None and isinstance(group, dict):
            group["format"] = form


def unreadable_setting(method: Mapping[str, Any]) -> str | None:
    """Return which format of compressed-tensors is none, as a part of a sentence; a file's name would run as code."""
    for each in (method, *_schemes(method), method.get("sparsity_config")):
        form = each.get("format") if isinstance(each, Mapping) else None
        if not (form is None or (isinstance(form, str) and _FORMAT.fullmatch(form))):
            return f"has the format {form!r:.60}, which is not the name of a format"
    return None


def misread_setting(method: Mapping[str, Any]) -> str | None:
    """Return what transformers would misread in a checkpoint of compressed-tensors, as a part of a sentence."""
    if method.get("quant_method") != "compressed-tensors":
        return None
    if method.get("transform_config"):
        return "it transforms activations (transform_config), which transformers ignores"
    first, *others = _of_weights(method) or [{}]
    settings = {key for each in (first, *others) for key in each} - {"observer", "observer_kwargs"}
    if is_dequantized(method) and any(each.get(key) != first.get(key) for each in others for key in settings):
        return "its layers have different settings, and transformers would unpack all with those of the first group"
    return None


def float32_bytes(model: PreTrainedModel) -> int:
    """Return the bytes of a model's weights as float32; shared ones count once."""
    return int(sum(parameter.numel() for parameter in model.parameters())) * 4


def described(method: Mapping[str, Any]) -> str:
    """Return a quantization method's name, storage format, bits and groups: ``gptq, 4 bits, groups of 128``."""
    name = method.get("quant_method", "unnamed method")
    parts = [str(getattr(name, "value", name)), *([f"format {method['format']}"] if method.get("format") else [])]
    if found := sorted(set(_stated_bits(method)) or set(_named_bits(method))):
        parts.append(f"{joined(map(str, found))} bits")
    if sizes := sorted(set(_group_sizes(method))):
        parts.append(f"groups of {joined(map(str, sizes))}")
    return ", ".join(parts)


def maker_of(method: Mapping[str, Any]) -> str:
    """Return the program that quantized a checkpoint, with its version, if the method says so."""
    meta = method.get("meta")
    said = meta.get("quantizer") if isinstance(meta, Mapping) else None
    if isinstance(said, str | list) and said:
        return " and ".join([said] if isinstance(said, str) else map(str, said)).replace(":", " ")
    key, name = _VERSIONS.get(str(method.get("quant_method")), ("", ""))
    return f"{name} {method[key]}" if isinstance(method.get(key), str) else ""


def quantized_problem(name: str, method: Mapping[str, Any]) -> str:
    """Return why a model that is already quantized cannot be compressed, and what can be done with it."""
    instead = (
        "apply recipes to its dequantized weights with 'forgetmeter run'"
        if is_dequantized(method)
        else "evaluate it as it is, without recipes"
    )
    return (
        f"model '{name}' is already quantized ({described(method)}), and only plain weights can be compressed; "
        f"{instead}, or compress the checkpoint that it was made from"
    )


def _stated_bits(method: Mapping[str, Any]) -> Iterator[int]:
    for key, value in method.items():
        if isinstance(value, Mapping):
            if key not in _NOT_OF_WEIGHTS:
                yield from _stated_bits(value)
        elif key in _BITS and isinstance(value, int):
            yield value
        elif key in _LOADED_IN and value is True:
            yield _LOADED_IN[key]


def _group_sizes(method: Mapping[str, Any]) -> Iterator[int]:
    for key, value in method.items():
        if isinstance(value, Mapping):
            if key not in _NOT_OF_WEIGHTS:
                yield from _group_sizes(value)
        elif key in _GROUP_SIZES and type(value) is int and value > 0:
            yield value


def _named_bits(method: Mapping[str, Any]) -> Iterator[int]:
    """Yield the bits in names of types, such as ``fp8`` or torchao's ``Int4WeightOnlyConfig``."""
    for key, value in method.items():
        if isinstance(value, Mapping):
            if key not in _NOT_OF_WEIGHTS:
                yield from _named_bits(value)
        elif isinstance(value, str):
            yield from map(int, _NAMED_BITS.findall(value))

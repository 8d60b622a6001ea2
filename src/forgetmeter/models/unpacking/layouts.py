"""Finds the layout of a checkpoint's quantization method."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from forgetmeter.errors import UserError
from forgetmeter.models.unpacking.awq import Awq
from forgetmeter.models.unpacking.fp8 import Fp8
from forgetmeter.models.unpacking.gptq import Gptq
from forgetmeter.models.unpacking.layout import PackedLayout

_ZERO_OFFSETS = {"gptq": 1, "gptq_v2": 0}
_AUTO_ROUNDS_ZERO_OFFSETS = {"auto_gptq": 1, "gptq": 1, "auto_round": 0, "gptqmodel": 0}
_PLAIN_BITS = 16
_MX_BLOCKS = (1, 32)
_FORMS = ("checkpoint_format", "format")
_AWQ_BITS = 4
_ROTATIONS = ("rotation", "hadamard_config", "transform_config")
"""Settings that transform activations, which the weights alone may not reveal."""
_INTEGERS = ("bits", "w_bit", "group_size", "q_group_size", "act_bits")
_TEXTS = (*_FORMS, "version", "packing_format")
_INSTEAD = "use the checkpoint that it was made from"


def is_unpacked(method: Mapping[str, Any]) -> bool:
    """Whether the weights of a quantization method are read as floating-point numbers by this package."""
    return _name(method) in _LAYOUTS


def layout_of(method: Mapping[str, Any], name: str) -> PackedLayout:
    """Return the layout of a model that ``is_unpacked``.

    Raises:
        UserError: The method's tensors are laid out in a way that is not supported.
    """
    try:
        _refuse_other_types(method)
        if rotation := next((key for key in _ROTATIONS if method.get(key)), None):
            raise ValueError(f"with {rotation}, which is not supported (the library that made it can read it)")
        return _LAYOUTS[_name(method)](method)
    except ValueError as error:
        raise UserError(f"model '{name}' is quantized by {_name(method)} {error}; {_INSTEAD}") from None


def _refuse_other_types(method: Mapping[str, Any]) -> None:
    """Refuse settings of a type that their writers do not use.

    Raises:
        ValueError: There is one; the message follows the method's name.
    """
    blocks = method.get("weight_block_size")
    is_pair = isinstance(blocks, list | tuple) and len(blocks) == 2 and all(type(each) is int for each in blocks)
    wrong = [key for key in _INTEGERS if type(method.get(key, 0)) not in (int, type(None))]
    wrong += [key for key in _TEXTS if not isinstance(method.get(key), str | None)]
    wrong += ["meta"] if not isinstance(method.get("meta"), Mapping | None) else []
    wrong += [] if blocks is None or (is_pair and min(blocks) > 0) else ["weight_block_size"]
    if wrong:
        raise ValueError(f"with {wrong[0]} {method[wrong[0]]!r:.60}, which cannot be read")


def _name(method: Mapping[str, Any]) -> str:
    name = method.get("quant_method")
    return str(getattr(name, "value", name))


def _gptq(method: Mapping[str, Any]) -> PackedLayout:
    """Return GPTQ's layout.

    Raises:
        ValueError: It is another layout; the message follows the method's name.
    """
    form = next((method[key] for key in _FORMS if method.get(key)), "gptq")
    if method.get("is_marlin_format"):
        form = "marlin"
    if form not in _ZERO_OFFSETS:
        raise ValueError(f"in the layout '{form}', which is not supported (supported: gptq, gptq_v2; try GPTQModel)")
    return Gptq(method, zero_offset=_ZERO_OFFSETS[form])


def _awq(method: Mapping[str, Any]) -> PackedLayout:
    """Return AWQ's layout.

    Raises:
        ValueError: As ``_gptq``.
    """
    form = str(next((method[key] for key in ("version", *_FORMS) if method.get(key)), "gemm")).lower()
    bits = method.get("bits", method.get("w_bit"))
    if form != "gemm" or bits != _AWQ_BITS:
        raise ValueError(
            f"in the layout '{form}' with {bits} bits, which is not supported (supported: gemm with {_AWQ_BITS} "
            "bits; try AutoAWQ or GPTQModel)"
        )
    return Awq(method)


def _auto_round(method: Mapping[str, Any]) -> PackedLayout:
    """Return the layout that AutoRound's ``packing_format`` names.

    Raises:
        ValueError: As ``_gptq``.
    """
    form = str(method.get("packing_format", "auto_gptq")).removeprefix("auto_round:")
    layers = method.get("extra_config") or {}
    if not isinstance(layers, Mapping) or not all(isinstance(each, Mapping) for each in layers.values()):
        raise ValueError(f"with extra_config {layers!r:.60}, which cannot be read")
    for each in (method, *layers.values()):
        bits = each.get("act_bits")
        if bits is not None and (type(bits) is not int or bits < _PLAIN_BITS):
            raise ValueError(
                f"with activations of {bits!r:.20} bits, which are not supported (the library AutoRound may read it)"
            )
    if form == "auto_awq":
        return _awq(method)
    if form not in _AUTO_ROUNDS_ZERO_OFFSETS:
        raise ValueError(f"in the layout '{form}', which is not supported (the library AutoRound may read it)")
    return Gptq(method, zero_offset=_AUTO_ROUNDS_ZERO_OFFSETS[form])


_LAYOUTS: dict[str, Callable[[Mapping[str, Any]], PackedLayout]] = {
    "gptq": _gptq,
    "awq": _awq,
    "auto-round": _auto_round,
    "fp8": Fp8,
    "mxfp8": lambda method: Fp8({"weight_block_size": _MX_BLOCKS, **method}),
}

"""Reads a quantized checkpoint as plain tensors."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from torch import Tensor
from transformers import PreTrainedModel
from transformers.pytorch_utils import Conv1D

from forgetmeter.errors import UserError
from forgetmeter.models.files.model_files import TensorHeader
from forgetmeter.models.files.safetensors_file import stored_tensor
from forgetmeter.models.on_disk.stored_weights import is_few_bits, name_in, refuse_misread_weights
from forgetmeter.models.unpacking.layout import LayoutError, PackedLayout
from forgetmeter.models.unpacking.layouts import layout_of
from forgetmeter.models.unpacking.plain_tensor import PlainTensor, as_stored


def plain_tensors(
    headers: Iterable[TensorHeader], method: Mapping[str, Any], model: PreTrainedModel, name: str
) -> tuple[PlainTensor, ...]:
    """Return the tensors of a quantized checkpoint as floating-point numbers; only its headers are read.

    Args:
        headers: Its tensors.
        method: Its quantization method, which ``is_unpacked``.
        model: The model built from its configuration; it may be on the ``meta`` device.
        name: Its name in errors.

    Raises:
        UserError: Its tensors do not match the method.
    """
    headers = tuple(headers)
    refuse_misread_weights(headers, method, name)
    layout = layout_of(method, name)
    weights: dict[str, dict[str, TensorHeader]] = defaultdict(dict)
    plain: list[TensorHeader] = []
    for header in headers:
        place = layout.part(header)
        if place is None:
            plain.append(header)
        elif place[1] in weights[place[0]]:
            raise _problem(name, place[0], f"has a second {place[1]}, {header.name}")
        else:
            weights[place[0]][place[1]] = header
    packed = {weight: parts for weight, parts in weights.items() if layout.is_packed(parts)}
    plain += [header for weight, parts in weights.items() if weight not in packed for header in parts.values()]
    if twice := next((header.name for header in plain if header.name in packed), None):
        raise _problem(name, twice, "is also stored as floating-point numbers")
    if few := next((header for header in plain if is_few_bits(header.name, header)), None):
        raise _problem(name, few.name, f"is stored as {few.dtype}, which is not a part of a known layout")
    inputs_first = _inputs_first(packed, model)
    return (
        *map(as_stored, plain),
        *(_unpacked(layout, key, parts, name, is_inputs_first=key in inputs_first) for key, parts in packed.items()),
    )


def _unpacked(
    layout: PackedLayout, weight: str, parts: Mapping[str, TensorHeader], name: str, *, is_inputs_first: bool
) -> PlainTensor:
    try:
        shape = layout.shape(parts)
        is_transposed = is_inputs_first and layout.is_transposed(parts)
    except LayoutError as problem:
        raise _problem(name, weight, problem) from None
    first = next(iter(parts.values()))

    def read() -> Tensor:
        try:
            values = layout.weight({part: stored_tensor(header).read() for part, header in parts.items()})
        except LayoutError as problem:
            raise _problem(name, weight, problem) from None
        return values.T.contiguous() if is_transposed else values

    return PlainTensor(replace(first, name=weight, dtype="F32", shape=shape[::-1] if is_transposed else shape), read)


def _inputs_first(weights: Iterable[str], model: PreTrainedModel) -> set[str]:
    """Return the weights of layers that hold theirs as ``(input units, output units)``, as GPT-2's do."""
    name_of, modules = name_in(model), dict(model.named_modules())
    places = ((weight, (name_of(weight) or "").rpartition(".")[0]) for weight in weights)
    return {weight for weight, place in places if isinstance(modules.get(place), Conv1D)}


def _problem(name: str, weight: str, problem: object) -> UserError:
    return UserError(
        f"model '{name}': {weight.removesuffix('.weight')} {problem}; fetch the checkpoint again, or use the one that "
        "it was made from"
    )

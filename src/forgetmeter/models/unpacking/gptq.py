"""GPTQ's layout, as AutoGPTQ, GPTQModel and AutoRound write it.

There is an integer ``q`` for each weight, and a zero point ``z`` and a scale ``s`` for each group of input units and
each output unit; the weight is ``s * (q - z)``. ``qweight`` is packed along the input units, ``qzeros`` along the
output units. ``g_idx`` names the group of each input unit; with act-order, groups are not runs of neighbours.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from forgetmeter.models.files.model_files import TensorHeader
from forgetmeter.models.unpacking.integers import unpacked
from forgetmeter.models.unpacking.layout import SCALES, LayoutError, PartsByName, check_groups, check_parts

_WORD = 32
GPTQ_BITS = (2, 3, 4, 8)
_INTEGERS = ("I32",)
_DTYPES = {"qweight": _INTEGERS, "qzeros": _INTEGERS, "scales": SCALES}
_PER_LAYER = ("dynamic", "extra_config")
"""Settings of individual layers, by name or pattern. Shapes then give each layer's bits and number of groups."""


class Gptq(PartsByName):
    """The layout of one checkpoint.

    Args:
        method: Its ``quantization_config``.
        zero_offset: What is added to a stored zero point: 1 in version 1 of the format, 0 in version 2.
    """

    def __init__(self, method: Mapping[str, Any], *, zero_offset: int) -> None:
        super().__init__((*_DTYPES, "g_idx"))
        self._is_of_gptqmodel = "gptqmodel" in str((method.get("meta") or {}).get("quantizer")).lower()
        self._bits = None if any(method.get(key) for key in _PER_LAYER) else method.get("bits")
        self._group_size = None if any(method.get(key) for key in _PER_LAYER) else method.get("group_size")
        self._is_ordered = bool(method.get("desc_act"))
        self._is_symmetric = bool(method.get("sym")) and not any(method.get(key) for key in _PER_LAYER)
        self._zero_offset = zero_offset

    def shape(self, parts: Mapping[str, TensorHeader]) -> tuple[int, int]:
        """Return ``(output units, input units)``.

        Raises:
            LayoutError: A part is missing, or its dtype or shape is not what the others and the configuration imply.
        """
        check_parts(parts, _DTYPES)
        (rows, outputs), (groups, zero_words), scales = (parts[part].shape for part in _DTYPES)
        bits = _divided(zero_words * _WORD, outputs)
        if bits not in GPTQ_BITS or self._bits not in (None, bits):
            raise LayoutError(
                f"has qzeros of shape {[groups, zero_words]} for {outputs} output units, which does not match "
                f"{self._bits or '2, 3, 4 or 8'} bits each"
            )
        inputs = _divided(rows * _WORD, bits)
        if inputs is None or scales != (groups, outputs):
            raise LayoutError(f"has scales {list(scales)} that do not match qweight {[rows, outputs]}")
        self._check_groups(parts, inputs, groups)
        return outputs, inputs

    def _check_groups(self, parts: Mapping[str, TensorHeader], inputs: int, groups: int) -> None:
        if "g_idx" in parts:
            if parts["g_idx"].dtype not in ("I32", "I64") or parts["g_idx"].shape != (inputs,):
                raise LayoutError(f"has g_idx of shape {list(parts['g_idx'].shape)} for {inputs} input units")
        elif self._is_ordered:
            raise LayoutError("lacks g_idx, although its configuration says desc_act")
        elif self._group_size is None and inputs % groups:
            raise LayoutError(f"has {groups} groups, which do not divide its {inputs} input units, and lacks g_idx")
        check_groups(inputs, groups, self._group_size, is_even=False)

    def weight(self, parts: Mapping[str, Tensor]) -> Tensor:
        """Return the weight, ``(output units, input units)``.

        Raises:
            LayoutError: ``g_idx`` names a group that does not exist, or groups of unequal size; or zero points can be
                read in two ways, or contradict the configuration.
        """
        scales = parts["scales"].to(torch.float32)
        groups, outputs = scales.shape
        bits = parts["qzeros"].shape[1] * _WORD // outputs
        zeros = self._zeros(parts["qzeros"].T, bits).T
        if self._is_symmetric and bool((zeros != (middle := 1 << (bits - 1))).any()):
            raise LayoutError(
                f"has zero points other than {middle}, although its configuration says sym, so sym or "
                "checkpoint_format is wrong there"
            )
        integers = unpacked(parts["qweight"], bits)
        group = parts["g_idx"].long() if "g_idx" in parts else self._in_order(len(integers), groups)
        if bool((group < 0).any()) or bool((group >= groups).any()):
            raise LayoutError(f"has a g_idx beyond its {groups} groups")
        sizes = [each.bincount(minlength=groups) for each in (group, self._in_order(len(integers), groups))]
        if (self._group_size is not None or len(integers) % groups == 0) and not torch.equal(*sizes):
            raise LayoutError(f"has a g_idx whose {groups} groups are not of one size")
        weight = torch.empty(outputs, len(integers))
        # Group by group, so that only the result is as large as the weight in float32.
        for number in range(groups):
            members = (group == number).nonzero().flatten()
            zero = zeros[number].to(torch.float32)
            weight[:, members] = ((integers[members].to(torch.float32) - zero) * scales[number]).T
        return weight

    def _zeros(self, words: Tensor, bits: int) -> Tensor:
        """Return the zero points.

        For 0 minus 1, some writers borrow from the neighbour in the word, and some do not. GPTQModel subtracts 1 from
        all integers of a word at once, so adding it to all of them takes the borrow back.

        Raises:
            LayoutError: A zero point was 0, and it is not known which tool wrote it.
        """
        if self._zero_offset and self._is_of_gptqmodel and not _WORD % bits:
            ones = sum(self._zero_offset << shift for shift in range(0, _WORD, bits))
            return unpacked((words.to(torch.int64) + ones).to(torch.int32), bits)
        zeros = unpacked(words, bits)
        if self._zero_offset and bool((zeros == (1 << bits) - 1).any()):
            raise LayoutError("has a zero point of 0, which writers of the format 'gptq' store in different ways")
        return zeros + self._zero_offset

    def _in_order(self, inputs: int, groups: int) -> Tensor:
        size = self._group_size if self._group_size is not None else inputs // groups
        return torch.arange(inputs) // (size if size > 0 else inputs)


def _divided(number: int, divisor: int) -> int | None:
    """Return a quotient, or ``None`` if it is not a whole number."""
    return None if not divisor or number % divisor else number // divisor

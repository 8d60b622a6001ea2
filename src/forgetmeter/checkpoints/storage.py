"""Storage of a compressed model's tensors: as plain tensors, or packed as in compressed-tensors or GPTQ."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence, Set
from typing import Any, ClassVar, Protocol

import numpy as np
import torch
from torch import Tensor

from forgetmeter.checkpoints.outputs import Output
from forgetmeter.checkpoints.request import Format
from forgetmeter.compression.applying.unit import Unit
from forgetmeter.compression.forms.weight import StoredIntegers, Weight
from forgetmeter.compression.surgery.installation import parameter_values
from forgetmeter.errors import UserError
from forgetmeter.models.files.writer import CheckpointWriter
from forgetmeter.specs.method import Packing
from forgetmeter.specs.recipe import Step

WORD_BITS = 32
_ROWS = 256


class Storage(Protocol):
    """A storage format for tensors."""

    def put(self, output: Output, old: Tensor, units: Sequence[Unit], writer: CheckpointWriter) -> None:
        """Store a compressed parameter; parts that no unit covers keep their ``old`` values."""
        ...

    def copy(self, output: Output, tensor: Tensor, writer: CheckpointWriter) -> None:
        """Store an unchanged tensor."""
        ...

    def names(self, outputs: Iterable[Output]) -> Iterable[str]:
        """Return a superset of the names that tensors can get."""
        ...

    def quantization_config(self) -> dict[str, Any] | None:
        """Return the ``quantization_config`` for readers; call after all tensors are stored."""
        ...


class DenseStorage:
    """Plain tensors, which ``from_pretrained`` reads without further packages."""

    def put(self, output: Output, old: Tensor, units: Sequence[Unit], writer: CheckpointWriter) -> None:
        """Store the dequantized values."""
        writer.append(output.name, _plain(old, units))

    def copy(self, output: Output, tensor: Tensor, writer: CheckpointWriter) -> None:
        """Store an unchanged tensor."""
        writer.append(output.name, tensor)

    def names(self, outputs: Iterable[Output]) -> Iterable[str]:
        """Return one name per tensor."""
        return [output.name for output in outputs]

    def quantization_config(self) -> None:
        """Return ``None``: plain tensors need no configuration."""


class PackedStorage(ABC):
    """Integers and scales for quantized linear layers, plain tensors for the rest.

    Args:
        steps: The steps that quantize, with the layouts of their layers.
        parameters: The parameters that they quantize.
    """

    suffixes: ClassVar[tuple[str, ...]]
    """Names of a layer's tensors, without that of the layer."""

    def __init__(self, steps: Sequence[tuple[Step, Packing]], parameters: Set[str]) -> None:
        self._steps, self._parameters = steps, parameters
        self.modules: dict[Packing, list[str]] = {}

    @abstractmethod
    def parts(self, found: StoredIntegers, packing: Packing) -> Iterable[Tensor]:
        """Return the tensors of a layer, in the order of ``suffixes``."""

    @staticmethod
    @abstractmethod
    def sizes(shape: Sequence[int], packing: Packing) -> Iterator[tuple[int, int]]:
        """Yield the dtype's width and the size, both in bytes, of each of these tensors.

        ``shape`` is ``(output units, input units)``.
        """

    @abstractmethod
    def quantization_config(self) -> dict[str, Any]:
        """Return the ``quantization_config`` for readers; call after all tensors are stored."""

    def put(self, output: Output, old: Tensor, units: Sequence[Unit], writer: CheckpointWriter) -> None:
        """Store integers and scales, or plain values if the parameter was not quantized.

        Raises:
            UserError: A plug-in made weights whose layout differs from the one it declares.
        """
        found = next((each for each in self._steps if any(map(each[0].scope.selects, units[0].matrices))), None)
        if found is None:
            writer.append(output.name_after, _plain(old, units))
            return
        step, packing = found
        stored = _checked(step, packing, output, units[0].weight)
        self.modules.setdefault(packing, []).append(output.name_after.removesuffix(".weight"))
        for name, tensor in zip(self._names(output), self.parts(stored, packing), strict=True):
            writer.append(name, tensor)

    def copy(self, output: Output, tensor: Tensor, writer: CheckpointWriter) -> None:
        """Store an unchanged tensor."""
        writer.append(output.name_after, tensor)

    def names(self, outputs: Iterable[Output]) -> Iterator[str]:
        """Return the names of the plain and of the packed tensors."""
        for output in outputs:
            yield from self._names(output) if output.parameter in self._parameters else (output.name_after,)

    def _names(self, output: Output) -> list[str]:
        return [output.name_after.removesuffix("weight") + suffix for suffix in self.suffixes]


class PackQuantizedStorage(PackedStorage):
    """compressed-tensors' layout ``pack-quantized``."""

    suffixes = ("weight_packed", "weight_scale", "weight_shape")

    def parts(self, found: StoredIntegers, packing: Packing) -> Iterable[Tensor]:
        """Return the integers packed along the input units, the scales, and the shape."""
        return packed(found.integers, packing.bits), found.scales, torch.tensor(found.integers.shape)

    @staticmethod
    def sizes(shape: Sequence[int], packing: Packing) -> Iterator[tuple[int, int]]:
        """Yield widths and sizes; see ``PackedStorage``."""
        rows, columns = shape
        yield 4, rows * _words(columns, packing.bits) * 4
        yield 4, rows * packing.groups(columns) * 4
        yield 8, len(shape) * 8

    def quantization_config(self) -> dict[str, Any]:
        """Return the quantization schemes and the layers they apply to."""
        return {
            "quant_method": "compressed-tensors",
            "format": "pack-quantized",
            "quantization_status": "compressed",
            "config_groups": {
                f"group_{number}": {"targets": modules, "weights": _scheme(packing)}
                for number, (packing, modules) in enumerate(self.modules.items())
            },
            "ignore": [],
        }


class GptqStorage(PackedStorage):
    """GPTQ's layout: version 1 without zero points, else version 2.

    Version 1 stores zero points minus 1, and tools differ in how they store that of 0.
    """

    suffixes = ("qweight", "qzeros", "scales", "g_idx")

    def parts(self, found: StoredIntegers, packing: Packing) -> Iterable[Tensor]:
        """Return the parts, as ``models.unpacking.gptq`` reads them."""
        (_, groups), inputs = found.scales.shape, found.integers.shape[1]
        points = torch.full_like(found.scales, -1) if found.zero_points is None else found.zero_points
        in_order = torch.arange(inputs, dtype=torch.int32) // (inputs // groups)
        return (
            packed(found.integers, packing.bits).T.contiguous(),
            packed(points.T.contiguous().to(torch.int8), packing.bits),
            found.scales.T.contiguous(),
            in_order if found.groups is None else found.groups,
        )

    @staticmethod
    def sizes(shape: Sequence[int], packing: Packing) -> Iterator[tuple[int, int]]:
        """Yield widths and sizes; see ``PackedStorage``."""
        rows, columns = shape
        yield 4, rows * _words(columns, packing.bits) * 4
        yield 4, packing.groups(columns) * _words(rows, packing.bits) * 4
        yield 4, packing.groups(columns) * rows * 4
        yield 4, columns * 4

    def quantization_config(self) -> dict[str, Any]:
        """Return the settings, which are the same for all layers."""
        ((packing, _),) = self.modules.items()
        return {
            "quant_method": "gptq",
            "checkpoint_format": "gptq_v2" if packing.has_zero_points else "gptq",
            "bits": packing.bits,
            "group_size": packing.group_size or -1,
            "desc_act": packing.is_ordered,
            "sym": not packing.has_zero_points,
            "lm_head": False,
        }


PACKED: dict[Format, type[PackedStorage]] = {"compressed-tensors": PackQuantizedStorage, "gptq": GptqStorage}


def _plain(old: Tensor, units: Sequence[Unit]) -> Tensor:
    """Return a parameter's values in its dtype.

    Weights cast to 16 bits are stored in 16 bits; they are read in the configuration's dtype.
    """
    weight = units[0].weight
    is_kept = len(units) == 1 and weight.keeps_dtype and weight.shape == tuple(old.shape)
    return weight.values() if is_kept else parameter_values(old, units)


def _checked(step: Step, packing: Packing, output: Output, weight: Weight) -> StoredIntegers:
    """Return the integers and scales of a weight, which a plug-in may have made."""
    bits, (rows, columns) = packing.bits, weight.shape
    found = weight.stored_integers()
    if (
        found is None
        or weight.bits() != bits
        or found.scales.shape != (rows, packing.groups(columns))
        or (found.zero_points is not None) != packing.has_zero_points
        or (found.groups is not None and not packing.is_ordered)
    ):
        points = "zero points" if packing.has_zero_points else "no zero points"
        raise UserError(
            f"method '{step.method}' did not make {output.parameter} as its declaration says ({bits}-bit integers, "
            f"group size {packing.group_size}, {points}); correct its 'packs', or choose --format dense"
        )
    return found


def _scheme(packing: Packing) -> dict[str, Any]:
    return {
        "num_bits": packing.bits,
        "type": "int",
        "symmetric": True,
        "strategy": "group" if packing.group_size else "channel",
        "group_size": packing.group_size or None,
        "dynamic": False,
    }


def _words(columns: int, bits: int) -> int:
    return -(-columns * bits // WORD_BITS)


def packed(integers: Tensor, bits: int) -> Tensor:
    """Pack the integers of each row without gaps, lowest bit first.

    Args:
        integers: int8, ``(output units, input units)``, from ``-2**(bits-1)`` to ``2**(bits-1) - 1``; stored with
            ``2**(bits-1)`` added.
        bits: Bits per integer, from 2 to 8.

    Returns:
        int32, ``(output units, ceil(input units * bits / 32))``; unused bits are zero.
    """
    rows, columns = integers.shape
    words = _words(columns, bits)
    result = torch.empty(rows, words, dtype=torch.int32)
    # A few rows at a time, since unpacking takes one byte per bit.
    for source, target in zip(integers.split(_ROWS), result.split(_ROWS), strict=True):
        unsigned = (source.numpy().astype(np.int16) + (1 << (bits - 1))).astype(np.uint8)
        single = np.unpackbits(unsigned[:, :, None], axis=-1, count=bits, bitorder="little")
        row_bytes = np.packbits(single.reshape(len(unsigned), -1), axis=-1, bitorder="little")
        whole = np.zeros((len(unsigned), words * WORD_BITS // 8), dtype=np.uint8)
        whole[:, : row_bytes.shape[1]] = row_bytes
        target.copy_(torch.from_numpy(whole.view("<i4").astype(np.int32)))
    return result

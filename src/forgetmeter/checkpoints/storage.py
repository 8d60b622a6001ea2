"""How the tensors of a compressed model are stored: plainly, or in compressed-tensors' layout ``pack-quantized``."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from forgetmeter.checkpoints.outputs import Output
from forgetmeter.checkpoints.writer import CheckpointWriter
from forgetmeter.compression.cast import CastWeight
from forgetmeter.compression.installation import parameter_values
from forgetmeter.compression.rounded_weight import RoundedWeight
from forgetmeter.compression.unit import Unit

_WORD_BITS = 32
_ROWS = 256
_SUFFIXES = ("packed", "scale", "shape")


class Storage(Protocol):
    """A way of storing tensors."""

    def put(self, output: Output, old: Tensor, units: Sequence[Unit], writer: CheckpointWriter) -> None:
        """Store a parameter that was compressed.

        Args:
            output: Its names.
            old: What it held before.
            units: What it holds now; where these are parts of it, the others are as before.
            writer: Writes tensors.
        """
        ...

    def copy(self, output: Output, tensor: Tensor, writer: CheckpointWriter) -> None:
        """Store a tensor that is as it was."""
        ...

    def names(self, outputs: Iterable[Output]) -> Iterable[str]:
        """Return all names that tensors may get, or more."""
        ...

    def quantization_config(self) -> dict[str, Any] | None:
        """Say what readers have to know, once all is stored: an entry of the model's configuration."""
        ...


class DenseStorage:
    """Plain tensors, as ``from_pretrained`` reads them with nothing else installed."""

    def put(self, output: Output, old: Tensor, units: Sequence[Unit], writer: CheckpointWriter) -> None:
        """Store the values that the weights stand for, in the parameter's dtype.

        What was cast to 16 bits is stored so; it is read in the dtype that the configuration names.
        """
        weight = units[0].weight
        is_cast = len(units) == 1 and isinstance(weight, CastWeight) and weight.shape == tuple(old.shape)
        writer.append(output.name, weight.values() if is_cast else parameter_values(old, units))

    def copy(self, output: Output, tensor: Tensor, writer: CheckpointWriter) -> None:
        """Store it."""
        writer.append(output.name, tensor)

    def names(self, outputs: Iterable[Output]) -> Iterable[str]:
        """Return one name a tensor."""
        return [output.name for output in outputs]

    def quantization_config(self) -> None:
        """Return nothing: plain tensors explain themselves."""


class PackQuantizedStorage:
    """Stores what ``round_to_nearest`` made of linear layers as integers and scales, and the rest as plain tensors."""

    def __init__(self) -> None:
        self._modules: list[str] = []
        self._bits = 0
        self._group_size: int | None = None

    def put(self, output: Output, old: Tensor, units: Sequence[Unit], writer: CheckpointWriter) -> None:
        """Store integers and scales, or plain values where a parameter was not quantized."""
        weight = units[0].weight
        if not isinstance(weight, RoundedWeight):
            writer.append(output.name_after, parameter_values(old, units))
            return
        groups = weight.factors.shape[-1]
        self._bits, self._group_size = weight.bit_width, None if groups == 1 else weight.shape[-1] // groups
        self._modules.append(output.name_after.removesuffix(".weight"))
        writer.append(f"{output.name_after}_packed", packed(weight.integers, weight.bit_width))
        writer.append(f"{output.name_after}_scale", weight.factors)
        writer.append(f"{output.name_after}_shape", torch.tensor(weight.shape))

    def copy(self, output: Output, tensor: Tensor, writer: CheckpointWriter) -> None:
        """Store it."""
        writer.append(output.name_after, tensor)

    def names(self, outputs: Iterable[Output]) -> Iterator[str]:
        """Return the names in both forms."""
        for output in outputs:
            yield output.name_after
            yield from (f"{output.name_after}_{suffix}" for suffix in _SUFFIXES)

    def quantization_config(self) -> dict[str, Any]:
        """Return the scheme, and which layers it is of."""
        weights = {
            "num_bits": self._bits,
            "type": "int",
            "symmetric": True,
            "strategy": "channel" if self._group_size is None else "group",
            "group_size": self._group_size,
            "dynamic": False,
        }
        return {
            "quant_method": "compressed-tensors",
            "format": "pack-quantized",
            "quantization_status": "compressed",
            "config_groups": {"group_0": {"targets": self._modules, "weights": weights}},
            "ignore": [],
        }


def packed_sizes(shape: Sequence[int], bits: int, group_size: int) -> Iterator[tuple[int, int]]:
    """Yield the width of the dtype and the bytes of each tensor that a layer's weight is stored as.

    Args:
        shape: Of the weight, ``(output units, input units)``.
        bits: From 2 to 8.
        group_size: How many input units share a scale; 0 for all.
    """
    rows, columns = shape
    yield 4, rows * _words(columns, bits) * 4
    yield 4, rows * (columns // (group_size or columns)) * 4
    yield 8, len(shape) * 8


def _words(columns: int, bits: int) -> int:
    return -(-columns * bits // _WORD_BITS)


def packed(integers: Tensor, bits: int) -> Tensor:
    """Pack integers row by row, each at the bits after those of the one before, the lowest bit first.

    Args:
        integers: int8, ``(output units, input units)``, from ``-2**(bits-1)`` to ``2**(bits-1) - 1``; stored with
            ``2**(bits-1)`` added.
        bits: From 2 to 8.

    Returns:
        int32, ``(output units, ceil(input units * bits / 32))``; bits that are left over are zero.
    """
    rows, columns = integers.shape
    words = _words(columns, bits)
    result = torch.empty(rows, words, dtype=torch.int32)
    # A byte for each bit takes memory, so that this goes by a few rows at a time.
    for source, target in zip(integers.split(_ROWS), result.split(_ROWS), strict=True):
        unsigned = (source.numpy().astype(np.int16) + (1 << (bits - 1))).astype(np.uint8)
        single = np.unpackbits(unsigned[:, :, None], axis=-1, count=bits, bitorder="little")
        row_bytes = np.packbits(single.reshape(len(unsigned), -1), axis=-1, bitorder="little")
        whole = np.zeros((len(unsigned), words * _WORD_BITS // 8), dtype=np.uint8)
        whole[:, : row_bytes.shape[1]] = row_bytes
        target.copy_(torch.from_numpy(whole.view("<i4").astype(np.int32)))
    return result

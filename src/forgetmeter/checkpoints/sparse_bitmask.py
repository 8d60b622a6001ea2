"""The layout ``sparse-bitmask`` of compressed-tensors: one bit a weight, and the weights that are not zero."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from forgetmeter.checkpoints.outputs import Output
from forgetmeter.checkpoints.writer import CheckpointWriter
from forgetmeter.compression.counting import count_nonzero
from forgetmeter.compression.installation import parameter_values
from forgetmeter.compression.unit import Unit

_SUFFIXES = ("compressed", "bitmask", "row_offsets", "shape")


class SparseBitmaskStorage:
    """Stores pruned layers as bitmask and non-zero weights where that is smaller, and the rest as plain tensors."""

    def __init__(self) -> None:
        self._modules: list[str] = []
        self._weights = self._zeros = 0

    def put(self, output: Output, old: Tensor, units: Sequence[Unit], writer: CheckpointWriter) -> None:
        """Store a parameter in the smaller way."""
        values = parameter_values(old, units)
        tensors = bitmask_tensors(values)
        size = sum(tensor.numel() * tensor.element_size() for tensor in tensors.values())
        if size >= values.numel() * values.element_size():
            writer.append(output.name_after, values)
            return
        module = output.name_after.removesuffix(".weight")
        for suffix, tensor in tensors.items():
            writer.append(f"{module}.{suffix}", tensor)
        self._modules.append(module)
        self._weights += values.numel()
        self._zeros += values.numel() - count_nonzero(values)

    def copy(self, output: Output, tensor: Tensor, writer: CheckpointWriter) -> None:
        """Store it."""
        writer.append(output.name_after, tensor)

    def names(self, outputs: Iterable[Output]) -> Iterator[str]:
        """Return the names in both forms."""
        for output in outputs:
            yield output.name_after
            yield from (f"{output.name_after.removesuffix('.weight')}.{suffix}" for suffix in _SUFFIXES)

    def quantization_config(self) -> dict[str, Any]:
        """Return which layers are stored so."""
        sparsity = {
            "format": "sparse-bitmask",
            "global_sparsity": self._zeros / max(1, self._weights),
            "sparsity_structure": "unstructured",
            "targets": self._modules,
            "ignore": [],
            "registry_requires_subclass": False,
        }
        return {"quant_method": "compressed-tensors", "format": "dense", "sparsity_config": sparsity}


def bitmask_tensors(values: Tensor) -> dict[str, Tensor]:
    """Take a matrix apart.

    Args:
        values: ``(output units, input units)``.

    Returns:
        ``compressed``, the weights that are not zero, row by row; ``bitmask``, uint8, ``(output units,
        ceil(input units / 8))``, the lowest bit first; ``row_offsets``, int64, where in ``compressed`` each row
        begins; ``shape``, int64.
    """
    there = values != 0
    counts = there.sum(dim=-1)
    return {
        "compressed": values[there],
        "bitmask": torch.from_numpy(np.packbits(there.numpy(), axis=-1, bitorder="little")),
        "row_offsets": counts.cumsum(0) - counts,
        "shape": torch.tensor(values.shape),
    }

"""Weights in the form of torchao's tensors, which bring their kernels along."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from forgetmeter.compression.forms.weight import DenseWeight, Weight, cut
from forgetmeter.specs.ranges import Ranges


@dataclass(frozen=True)
class TorchaoWeight(Weight):
    """The weight of a linear layer, quantized by torchao.

    Attributes:
        quantized: torchao's tensor; ``nn.functional.linear`` with it runs torchao's kernel.
        bit_width: How many bits a weight takes.
        scale_count: How many scales there are, as float32 numbers of the same bytes.
    """

    quantized: Tensor
    bit_width: int
    scale_count: int

    @property
    def shape(self) -> tuple[int, ...]:
        """The weight's shape."""
        return tuple(self.quantized.shape)

    def values(self) -> Tensor:
        """Return the weights that the integers stand for, in the dtype that was quantized."""
        if hasattr(self.quantized, "qdata") and self.quantized.qdata.shape == self.quantized.shape:
            values: Tensor = self.quantized.dequantize()
            return values
        # Packed for one kernel and not to be unpacked otherwise: the kernel says what they are, unit by unit.
        units = torch.eye(self.shape[1], dtype=self.quantized.dtype, device=self.quantized.device)
        return nn.functional.linear(units, self.quantized).t()

    def masked(self, keep: Tensor) -> Weight:
        """Return the same scales, and the integer 0 where ``keep`` is false; packed ones become plain weights."""
        names, context = self.quantized.__tensor_flatten__()
        tensors = {name: getattr(self.quantized, name) for name in names}
        if tensors["qdata"].shape != self.quantized.shape:
            return DenseWeight(self.values()).masked(keep)
        tensors["qdata"] = tensors["qdata"] * keep
        kind: Any = type(self.quantized)
        pruned = kind.__tensor_unflatten__(tensors, context, self.quantized.size(), self.quantized.stride())
        return TorchaoWeight(pruned, self.bit_width, self.scale_count)

    def bits(self) -> int:
        """Return the width of an integer."""
        return self.bit_width

    def scales(self) -> int:
        """Return how many there are."""
        return self.scale_count

    def part(self, axis: int, ranges: Ranges) -> Weight:
        """Return plain weights: torchao's tensors are whole layers."""
        return DenseWeight(cut(self.values(), axis, ranges))

    def joins(self, other: Weight) -> bool:
        """Whether it is the same weight."""
        return other is self

    def together(self, axis: int, parts: Sequence[tuple[Ranges, Weight]]) -> Weight:
        """Return plain weights."""
        plain = [(ranges, part.taken_out()) for ranges, part in parts]
        return DenseWeight(plain[0][1].values()).together(axis, plain)

    def parameter(self, dtype: torch.dtype) -> Tensor:  # noqa: ARG002
        """Return torchao's tensor, whatever the dtype."""
        return self.quantized

    def transposed(self) -> Weight:
        """Return plain weights."""
        return DenseWeight(self.values()).transposed()

"""Weights as torchao tensors, which have their own kernels."""

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
        bit_width: Bits per weight.
        scale_count: The bytes of scales and zero points, as a number of float32 scales.
    """

    quantized: Tensor
    bit_width: int
    scale_count: int

    @property
    def shape(self) -> tuple[int, ...]:
        """The weight's shape."""
        return tuple(self.quantized.shape)

    def values(self) -> Tensor:
        """Return the dequantized weights, in the dtype they had before quantization."""
        if hasattr(self.quantized, "qdata") and self.quantized.qdata.shape == self.quantized.shape:
            values: Tensor = self.quantized.dequantize()
            return values
        # Packed for one kernel and readable only through it: multiplying by the identity returns the weights.
        units = torch.eye(self.shape[1], dtype=self.quantized.dtype, device=self.quantized.device)
        return nn.functional.linear(units, self.quantized).t()

    def masked(self, keep: Tensor) -> Weight:
        """Return the same scales, with integer 0 where ``keep`` is false; packed weights become dense."""
        names, context = self.quantized.__tensor_flatten__()
        tensors = {name: getattr(self.quantized, name) for name in names}
        if tensors["qdata"].shape != self.quantized.shape:
            return DenseWeight(self.values()).masked(keep)
        tensors["qdata"] = tensors["qdata"] * keep
        kind: Any = type(self.quantized)
        pruned = kind.__tensor_unflatten__(tensors, context, self.quantized.size(), self.quantized.stride())
        return TorchaoWeight(pruned, self.bit_width, self.scale_count)

    def bits(self) -> int:
        """Return the bits per weight."""
        return self.bit_width

    def scales(self) -> int:
        """Return the number of scales."""
        return self.scale_count

    def part(self, axis: int, ranges: Ranges) -> Weight:
        """Return dense weights, since torchao's tensors are whole layers."""
        return DenseWeight(cut(self.values(), axis, ranges))

    def can_join(self, other: Weight) -> bool:
        """Whether it is the same weight."""
        return other is self

    def join(self, axis: int, parts: Sequence[tuple[Ranges, Weight]]) -> Weight:
        """Return dense weights."""
        plain = [(ranges, part.standalone()) for ranges, part in parts]
        return DenseWeight(plain[0][1].values()).join(axis, plain)

    def parameter(self, dtype: torch.dtype) -> Tensor:  # noqa: ARG002
        """Return torchao's tensor; ``dtype`` is ignored."""
        return self.quantized

    def transposed(self) -> Weight:
        """Return dense weights."""
        return DenseWeight(self.values()).transposed()

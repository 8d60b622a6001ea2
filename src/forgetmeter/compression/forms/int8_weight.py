"""Weights as 8-bit integers, quantized as torch's own observers have it done."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import torch
from torch import Tensor

from forgetmeter.compression.forms.unusable_weight import UnusableWeightError
from forgetmeter.compression.forms.weight import PartWeight, Weight, assembled, cut
from forgetmeter.specs.ranges import Ranges

Granularity = Literal["per_tensor", "per_channel"]
GRANULARITIES: tuple[Granularity, ...] = get_args(Granularity)

_HALF_RANGE = 127.5
_SMALLEST_SCALE = torch.finfo(torch.float32).eps


@dataclass(frozen=True)
class Int8Weight:
    """Weights as integers times scales; the zero point is 0.

    Attributes:
        integers: int8, shape ``(output units, input units)``, or the other way round for ``Conv1D``.
        factors: float32 scales, what one step of the integers is worth: one, shape ``(1, 1)``, or one for each
            output unit, of the integers' shape but for the input axis, which is 1.
    """

    integers: Tensor
    factors: Tensor

    @classmethod
    def of_one_scale(cls, integers: Tensor, scale: float) -> Int8Weight:
        """Make a weight whose integers all have the same scale."""
        return cls(integers, torch.tensor([[scale]], dtype=torch.float32, device=integers.device))

    @property
    def shape(self) -> tuple[int, ...]:
        """The integers' shape."""
        return tuple(self.integers.shape)

    def values(self) -> Tensor:
        """Return the weights as float32."""
        return self.integers.to(torch.float32) * self.factors

    def masked(self, keep: Tensor) -> Int8Weight:
        """Return the same integers and scales, with zeros where ``keep`` is false."""
        return Int8Weight(self.integers * keep, self.factors)

    def bits(self) -> int:
        """Return 8."""
        return 8

    def scales(self) -> int:
        """Return how many there are."""
        return int(self.factors.numel())

    def part(self, axis: int, ranges: Ranges) -> Int8Weight:
        """Return some of the integers, with the scales they have."""
        factors = self.factors if self.factors.shape[axis] == 1 else cut(self.factors, axis, ranges)
        return Int8Weight(cut(self.integers, axis, ranges), factors)

    def joins(self, other: Weight) -> bool:
        """Whether the other has the same one scale, or has scales for each output unit as well."""
        if not isinstance(other, Int8Weight):
            return False
        if self.factors.numel() == 1 or other.factors.numel() == 1:
            return self.factors.shape == other.factors.shape and bool((self.factors == other.factors).all())
        return self._output_axis() == other._output_axis()

    def together(self, axis: int, parts: Sequence[tuple[Ranges, Weight]]) -> Int8Weight:
        """Return all the integers, each with its scale."""
        bare = [(ranges, _bare(part)) for ranges, part in parts]
        integers = assembled(axis, [(ranges, part.integers) for ranges, part in bare])
        if self.factors.numel() == 1:
            return Int8Weight(integers, self.factors)
        return Int8Weight(integers, assembled(axis, [(ranges, part.factors) for ranges, part in bare]))

    def transposed(self) -> Int8Weight:
        """Return the other orientation: ``Conv1D`` holds input units first, a linear layer output units."""
        return Int8Weight(self.integers.t().contiguous(), self.factors.t().contiguous())

    def _output_axis(self) -> int:
        return 0 if self.factors.shape[0] > 1 else 1


def _bare(weight: Weight) -> Int8Weight:
    bare = weight.taken_out() if isinstance(weight, PartWeight) else weight
    assert isinstance(bare, Int8Weight)
    return bare


def quantize(values: Tensor, granularity: Granularity = "per_tensor") -> Int8Weight:
    """Quantize as ``MinMaxObserver`` or ``PerChannelMinMaxObserver`` (qint8, symmetric) of ``torch.ao`` have it done.

    A scale is the largest magnitude / 127.5, at least float32's epsilon.

    Args:
        values: Floating-point, shape ``(output units, input units)``; worked on as float32.
        granularity: One scale for the tensor, or one for each output unit.

    Raises:
        UnusableWeightError: The weights hold NaN or infinity.
    """
    values = values.detach().to(torch.float32)
    if granularity == "per_channel":
        smallest, largest = torch.aminmax(values, dim=1, keepdim=True)
    else:
        smallest, largest = (each.view(1, 1) for each in torch.aminmax(values))
    magnitudes = torch.maximum(-smallest, largest)
    if not magnitudes.isfinite().all():
        raise UnusableWeightError("holds NaN or infinity and cannot be quantized; load a sound checkpoint")
    # By a tensor on the same device: CUDA multiplies by the reciprocal of a plain number.
    factors = (magnitudes / torch.full_like(magnitudes, _HALF_RANGE)).clamp_min(_SMALLEST_SCALE)
    # torch multiplies by the reciprocal: dividing would round a few weights otherwise.
    return Int8Weight((values * factors.reciprocal()).round_().clamp_(-128, 127).to(torch.int8), factors)

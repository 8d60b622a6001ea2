"""Low-bit weights with a scale and a zero point that is no integer, one each per group of input units."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import cast

import torch
from torch import Tensor

from forgetmeter.compression.forms.scaled_integers import ScaledIntegers
from forgetmeter.compression.forms.weight import Weight, assembled, cut
from forgetmeter.specs.ranges import Ranges

_ZERO = -1
_MANY = 0.01
"""Share of zeros from which they are marked."""


@dataclass(frozen=True)
class ShiftedWeight(ScaledIntegers):
    """Weights ``(integer - zero point) * scale``, computed in floating point; the integers are int16, from 0.

    No integer stands for 0.0, so zeros are marked by -1, which takes one more bit per weight if there are any.

    Attributes:
        input_axis: The axis of the input units, counted from the end: -1, or -2 for ``Conv1D``.
        bit_width: Bits per integer, without the mark.
        zero_points: float32, in the shape of the scales.
        has_zeros: Whether there may be zeros.
    """

    input_axis: int
    bit_width: int
    zero_points: Tensor
    has_zeros: bool

    @property
    def is_simulated(self) -> bool:
        """True: it has no kernel."""
        return True

    def values(self) -> Tensor:
        """Return the weights as float32."""
        group = self.integers.shape[self.input_axis] // self.factors.shape[self.input_axis]
        points, factors = (
            each.repeat_interleave(group, dim=self.input_axis) for each in (self.zero_points, self.factors)
        )
        return (self.integers - points).mul_(factors).masked_fill_(self.integers == _ZERO, 0)

    def masked(self, keep: Tensor) -> ShiftedWeight:
        """Return the same scales, with zeros where ``keep`` is false."""
        return replace(self, integers=self.integers.masked_fill(~keep, _ZERO), has_zeros=True)

    def bits(self) -> int:
        """Return the bits per integer, and one more if there are zeros."""
        return self.bit_width + self.has_zeros

    def scales(self) -> int:
        """Return the number of scales and zero points; both are float32."""
        return super().scales() + int(self.zero_points.numel())

    def part(self, axis: int, ranges: Ranges) -> ShiftedWeight:
        """Return some output units with their scales and zero points."""
        return replace(super().part(axis, ranges), zero_points=cut(self.zero_points, axis, ranges))

    def can_join(self, other: Weight) -> bool:
        """Whether the other has the same bit width and number of groups per output unit, and also zeros or none."""
        return (
            isinstance(other, ShiftedWeight)
            and (other.bits(), other.bit_width, other.input_axis) == (self.bits(), self.bit_width, self.input_axis)
            and other.factors.shape[self.input_axis] == self.factors.shape[self.input_axis]
        )

    def join(self, axis: int, parts: Sequence[tuple[Ranges, Weight]]) -> ShiftedWeight:
        """Return all output units with their scales and zero points."""
        points = [(ranges, cast(ShiftedWeight, part.standalone()).zero_points) for ranges, part in parts]
        return replace(super().join(axis, parts), zero_points=assembled(axis, points))

    def transposed(self) -> ShiftedWeight:
        """Return the other orientation."""
        points = self.zero_points.transpose(-2, -1).contiguous()
        return replace(super().transposed(), input_axis=-3 - self.input_axis, zero_points=points)


def shifted(groups: Tensor, inverse_scales: Tensor, zero_points: Tensor, bits: int) -> ShiftedWeight:
    """Round to the nearest integers; zeros stay zero if there are many (``_MANY``).

    Args:
        groups: float32, ``(…, output units, groups, input units of a group)``.
        inverse_scales: Reciprocals of the scales, likewise, with one input unit.
        zero_points: Likewise.
        bits: Bits per integer.
    """
    integers = (groups * inverse_scales).add_(zero_points).round_().clamp_(0, 2**bits - 1)
    is_zero = groups == 0
    has_zeros = int(is_zero.sum()) >= max(1, _MANY * groups.numel())
    return ShiftedWeight(
        (integers.masked_fill_(is_zero, _ZERO) if has_zeros else integers).flatten(-2).to(torch.int16),
        inverse_scales.reciprocal().squeeze(-1),
        input_axis=-1,
        bit_width=bits,
        zero_points=zero_points.squeeze(-1),
        has_zeros=has_zeros,
    )

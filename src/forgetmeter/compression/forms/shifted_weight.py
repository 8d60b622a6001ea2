"""Low-bit weights with a scale and a non-integer zero point, one each per group of input units."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from forgetmeter.compression.forms.grouped_integers import GroupedIntegers
from forgetmeter.compression.forms.weight import Weight

_ZERO = -1
_MANY = 0.01
"""Share of zeros from which they are marked."""


@dataclass(frozen=True)
class ShiftedWeight(GroupedIntegers):
    """Weights ``(integer - zero point) * scale``; the integers are int16, from 0, and the zero points float32.

    No integer stands for 0.0, so zeros are marked by -1, which takes one more bit per weight if there are any.

    Attributes:
        bit_width: Bits per integer, without the mark.
        has_zeros: Whether there may be zeros.
    """

    bit_width: int
    has_zeros: bool

    def values(self) -> Tensor:
        """Return the weights as float32."""
        assert self.zero_points is not None
        shifted = self.integers - self.spread(self.zero_points)
        return shifted.mul_(self.spread(self.factors)).masked_fill_(self.integers == _ZERO, 0)

    def masked(self, keep: Tensor) -> ShiftedWeight:
        """Return the same scales, with zeros where ``keep`` is false."""
        return replace(self, integers=self.integers.masked_fill(~keep, _ZERO), has_zeros=True)

    def bits(self) -> int:
        """Return the bits per integer, and one more if there are zeros."""
        return self.bit_width + self.has_zeros

    def scales(self) -> int:
        """Return the number of scales and zero points; both are float32."""
        return 2 * super().scales()

    def can_join(self, other: Weight) -> bool:
        """Whether the other has the same bit width and number of groups per output unit, and also zeros or none."""
        return (
            isinstance(other, ShiftedWeight)
            and (other.bits(), other.bit_width) == (self.bits(), self.bit_width)
            and self.has_groups_of(other)
        )


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

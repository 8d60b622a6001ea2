"""Low-bit weights with one scale per group of input units, computed in floating point."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from forgetmeter.compression.forms.weight import Weight, assembled, cut
from forgetmeter.specs.ranges import Ranges


@dataclass(frozen=True)
class RoundedWeight(Weight):
    """Integers times scales; the zero point is 0, so that zeros are exact.

    Attributes:
        integers: int8, in the shape of the parameter.
        factors: float32 scales, in the integers' shape except for the input axis, which has one scale per group.
        input_axis: The axis of the input units, counted from the end: -1, or -2 for ``Conv1D``.
        bit_width: Bits per integer, from 2 to 8.
    """

    integers: Tensor
    factors: Tensor
    input_axis: int
    bit_width: int

    @property
    def is_simulated(self) -> bool:
        """True: it has no kernel."""
        return True

    @property
    def shape(self) -> tuple[int, ...]:
        """The integers' shape."""
        return tuple(self.integers.shape)

    def values(self) -> Tensor:
        """Return the weights as float32."""
        group = self.integers.shape[self.input_axis] // self.factors.shape[self.input_axis]
        return self.integers * self.factors.repeat_interleave(group, dim=self.input_axis)

    def masked(self, keep: Tensor) -> RoundedWeight:
        """Return the same scales, with integer 0 where ``keep`` is false."""
        return self._with(self.integers * keep, self.factors)

    def bits(self) -> int:
        """Return the bits per integer."""
        return self.bit_width

    def scales(self) -> int:
        """Return the number of scales."""
        return int(self.factors.numel())

    def integers_and_scales(self) -> tuple[Tensor, Tensor] | None:
        """Return the integers and scales of a matrix whose output units come first."""
        return (self.integers, self.factors) if self.integers.dim() == 2 and self.input_axis == -1 else None

    def part(self, axis: int, ranges: Ranges) -> RoundedWeight:
        """Return some output units with their scales."""
        return self._with(cut(self.integers, axis, ranges), cut(self.factors, axis, ranges))

    def can_join(self, other: Weight) -> bool:
        """Whether the other has the same bit width and number of groups per output unit."""
        return (
            isinstance(other, RoundedWeight)
            and (other.bit_width, other.input_axis) == (self.bit_width, self.input_axis)
            and other.factors.shape[self.input_axis] == self.factors.shape[self.input_axis]
        )

    def join(self, axis: int, parts: Sequence[tuple[Ranges, Weight]]) -> RoundedWeight:
        """Return all output units with their scales."""
        bare = [(ranges, _bare(part)) for ranges, part in parts]
        integers = assembled(axis, [(ranges, part.integers) for ranges, part in bare])
        return self._with(integers, assembled(axis, [(ranges, part.factors) for ranges, part in bare]))

    def transposed(self) -> RoundedWeight:
        """Return the other orientation."""
        integers, factors = (each.transpose(-2, -1).contiguous() for each in (self.integers, self.factors))
        return RoundedWeight(integers, factors, -3 - self.input_axis, self.bit_width)

    def _with(self, integers: Tensor, factors: Tensor) -> RoundedWeight:
        return RoundedWeight(integers.to(torch.int8), factors, self.input_axis, self.bit_width)


def _bare(weight: Weight) -> RoundedWeight:
    bare = weight.standalone()
    assert isinstance(bare, RoundedWeight)
    return bare

"""Low-bit weights with one scale per group of input units, computed in floating point."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import cast

import torch
from torch import Tensor

from forgetmeter.compression.forms.scaled_integers import ScaledIntegers
from forgetmeter.compression.forms.storage import packed_bytes
from forgetmeter.compression.forms.weight import Weight, assembled, cut
from forgetmeter.specs.ranges import Ranges

_INDEX_BYTES = 4


@dataclass(frozen=True)
class RoundedWeight(ScaledIntegers):
    """Low-bit weights; their scales have the integers' shape except for the input axis, with one scale per group.

    Attributes:
        input_axis: The axis of the input units, counted from the end: -1, or -2 for ``Conv1D``.
        bit_width: Bits per integer, from 2 to 8.
        zero_points: int8, the integers that stand for 0, in the shape of the scales; ``None`` if they are all 0.
        groups: int32, the group of each input unit; ``None`` if groups are neighbours, all of one size.
    """

    input_axis: int
    bit_width: int
    zero_points: Tensor | None = None
    groups: Tensor | None = None

    @property
    def is_simulated(self) -> bool:
        """True: it has no kernel."""
        return True

    def values(self) -> Tensor:
        """Return the weights as float32."""
        integers = self.integers if self.zero_points is None else self.integers.float() - self._spread(self.zero_points)
        return integers * self._spread(self.factors)

    def masked(self, keep: Tensor) -> RoundedWeight:
        """Return the same scales, with the integer that stands for 0 where ``keep`` is false."""
        if self.zero_points is None:
            return super().masked(keep)
        return replace(self, integers=torch.where(keep, self.integers, self._spread(self.zero_points)))

    def bits(self) -> int:
        """Return the bits per integer."""
        return self.bit_width

    def grid_bytes(self) -> int:
        """Return the bytes of float32 scales, zero points of the integers' width, and int32 groups of input units."""
        points = 0 if self.zero_points is None else packed_bytes(self.zero_points.numel(), self.bit_width)
        return super().grid_bytes() + points + (0 if self.groups is None else _INDEX_BYTES * self.groups.numel())

    def integers_and_scales(self) -> tuple[Tensor, Tensor] | None:
        """Return the integers and scales of a matrix whose output units come first; not with zero points or groups."""
        is_plain = self.zero_points is None and self.groups is None
        is_matrix = self.integers.dim() == 2 and self.input_axis == -1
        return (self.integers, self.factors) if is_plain and is_matrix else None

    def part(self, axis: int, ranges: Ranges) -> RoundedWeight:
        """Return some output units with their scales and zero points."""
        part = super().part(axis, ranges)
        return part if self.zero_points is None else replace(part, zero_points=cut(self.zero_points, axis, ranges))

    def can_join(self, other: Weight) -> bool:
        """Whether the other has the same bit width and the same groups, and both or neither have zero points."""
        return (
            isinstance(other, RoundedWeight)
            and (other.bit_width, other.input_axis) == (self.bit_width, self.input_axis)
            and other.factors.shape[self.input_axis] == self.factors.shape[self.input_axis]
            and (other.zero_points is None) == (self.zero_points is None)
            # Parts of one weight share the tensor; on the meta device, values cannot be compared.
            and other.groups is self.groups
        )

    def join(self, axis: int, parts: Sequence[tuple[Ranges, Weight]]) -> RoundedWeight:
        """Return all output units with their scales and zero points."""
        joined = super().join(axis, parts)
        if self.zero_points is None:
            return joined
        points = [(ranges, cast(RoundedWeight, part.standalone()).zero_points) for ranges, part in parts]
        return replace(joined, zero_points=assembled(axis, cast(list[tuple[Ranges, Tensor]], points)))

    def transposed(self) -> RoundedWeight:
        """Return the other orientation."""
        points = None if self.zero_points is None else self.zero_points.transpose(-2, -1).contiguous()
        return replace(super().transposed(), input_axis=-3 - self.input_axis, zero_points=points)

    def _spread(self, numbers: Tensor) -> Tensor:
        """Return the number of each input unit's group."""
        if self.groups is not None:
            return numbers.index_select(self.input_axis, self.groups)
        group = self.integers.shape[self.input_axis] // numbers.shape[self.input_axis]
        return numbers.repeat_interleave(group, dim=self.input_axis)

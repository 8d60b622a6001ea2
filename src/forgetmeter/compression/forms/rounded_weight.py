"""Low-bit weights with one scale per group of input units, computed in floating point."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from forgetmeter.compression.forms.grouped_integers import GroupedIntegers
from forgetmeter.compression.forms.storage import packed_bytes
from forgetmeter.compression.forms.weight import StoredIntegers, Weight

_INDEX_BYTES = 4


@dataclass(frozen=True)
class RoundedWeight(GroupedIntegers):
    """Low-bit integers times scales; zero points, if there are any, are int8.

    Attributes:
        bit_width: Bits per integer, from 2 to 8.
        groups: int32, the group of each input unit; ``None`` if groups are neighbours, all of one size.
    """

    bit_width: int
    groups: Tensor | None = None

    def values(self) -> Tensor:
        """Return the weights as float32."""
        integers = self.integers if self.zero_points is None else self.integers.float() - self.spread(self.zero_points)
        return integers * self.spread(self.factors)

    def masked(self, keep: Tensor) -> RoundedWeight:
        """Return the same scales, with the integer that stands for 0 where ``keep`` is false."""
        if self.zero_points is None:
            return super().masked(keep)
        return replace(self, integers=torch.where(keep, self.integers, self.spread(self.zero_points)))

    def bits(self) -> int:
        """Return the bits per integer."""
        return self.bit_width

    def grid_bytes(self) -> int:
        """Return the bytes of float32 scales, zero points of the integers' width, and int32 groups of input units."""
        points = 0 if self.zero_points is None else packed_bytes(self.zero_points.numel(), self.bit_width)
        return super().grid_bytes() + points + (0 if self.groups is None else _INDEX_BYTES * self.groups.numel())

    def stored_integers(self) -> StoredIntegers | None:
        """Return the parts of a matrix whose output units come first."""
        is_matrix = self.integers.dim() == 2 and self.input_axis == -1
        return StoredIntegers(self.integers, self.factors, self.zero_points, self.groups) if is_matrix else None

    def can_join(self, other: Weight) -> bool:
        """Whether the other has the same bit width and the same groups, and both or neither have zero points."""
        return (
            isinstance(other, RoundedWeight)
            and other.bit_width == self.bit_width
            and self.has_groups_of(other)
            # Parts of one weight share the tensor; on the meta device, values cannot be compared.
            and other.groups is self.groups
        )

    def spread(self, numbers: Tensor) -> Tensor:
        """Return the number of each input unit's group."""
        return super().spread(numbers) if self.groups is None else numbers.index_select(self.input_axis, self.groups)

"""Weights of dropped blocks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from forgetmeter.compression.forms.weight import Weight
from forgetmeter.specs.ranges import Ranges, count


@dataclass(frozen=True)
class DroppedWeight(Weight):
    """A weight matrix of a dropped block; it counts as zeros and takes no bytes.

    Attributes:
        size: Its former shape.
        dtype: Its former dtype.
    """

    size: tuple[int, ...]
    dtype: torch.dtype

    @property
    def is_dropped(self) -> bool:
        """True."""
        return True

    @property
    def shape(self) -> tuple[int, ...]:
        """The former shape."""
        return self.size

    def values(self) -> Tensor:
        """Return zeros, which take no memory."""
        return torch.zeros((), dtype=self.dtype).expand(self.size)

    def masked(self, keep: Tensor) -> DroppedWeight:  # noqa: ARG002
        """Return the weight itself."""
        return self

    def smallest_bytes(self, plain_bytes: int) -> int:  # noqa: ARG002
        """Return 0."""
        return 0

    def bits(self) -> int:
        """Return 0."""
        return 0

    def part(self, axis: int, ranges: Ranges) -> DroppedWeight:
        """Return a part, which is dropped too."""
        return DroppedWeight((*self.size[:axis], count(ranges), *self.size[axis + 1 :]), self.dtype)

    def can_join(self, other: Weight) -> bool:
        """Whether the other is dropped too."""
        return isinstance(other, DroppedWeight)

    def join(self, axis: int, parts: Sequence[tuple[Ranges, Weight]]) -> DroppedWeight:
        """Return the whole, which is dropped too."""
        length = sum(count(ranges) for ranges, _ in parts)
        return DroppedWeight((*self.size[:axis], length, *self.size[axis + 1 :]), self.dtype)

    def transposed(self) -> DroppedWeight:
        """Return the other orientation."""
        return DroppedWeight((*self.size[:-2], self.size[-1], self.size[-2]), self.dtype)

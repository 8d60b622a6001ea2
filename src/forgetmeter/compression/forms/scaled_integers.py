"""The base of quantized weights: integers times scales."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Self

from torch import Tensor

from forgetmeter.compression.forms.weight import Weight, assembled, cut
from forgetmeter.specs.ranges import Ranges


@dataclass(frozen=True)
class ScaledIntegers(Weight):
    """Integers times scales; the zero point is 0, so that zeros are exact.

    Attributes:
        integers: int8, in the shape of the parameter.
        factors: float32 scales, in the integers' shape except for the axes along which a scale is shared.
    """

    integers: Tensor
    factors: Tensor

    @property
    def shape(self) -> tuple[int, ...]:
        """The integers' shape."""
        return tuple(self.integers.shape)

    @property
    def has_one_scale(self) -> bool:
        """Whether all output units share a scale."""
        return False

    def masked(self, keep: Tensor) -> Self:
        """Return the same scales, with integer 0 where ``keep`` is false."""
        return replace(self, integers=self.integers * keep)

    def scales(self) -> int:
        """Return the number of scales."""
        return int(self.factors.numel())

    def part(self, axis: int, ranges: Ranges) -> Self:
        """Return some output units with their scales."""
        factors = self.factors if self.factors.shape[axis] == 1 else cut(self.factors, axis, ranges)
        return replace(self, integers=cut(self.integers, axis, ranges), factors=factors)

    def join(self, axis: int, parts: Sequence[tuple[Ranges, Weight]]) -> Self:
        """Return all output units with their scales."""
        bare = [(ranges, part.standalone()) for ranges, part in parts]
        names = ("integers",) if self.has_one_scale else ("integers", "factors")
        joined = {name: assembled(axis, [(ranges, getattr(part, name)) for ranges, part in bare]) for name in names}
        return replace(self, **joined)

    def transposed(self) -> Self:
        """Return the other orientation: ``Conv1D`` stores input units first, ``nn.Linear`` output units."""
        integers, factors = (each.transpose(-2, -1).contiguous() for each in (self.integers, self.factors))
        return replace(self, integers=integers, factors=factors)

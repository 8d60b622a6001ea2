"""The base of low-bit weights with one scale per group of input units."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Self

from torch import Tensor

from forgetmeter.compression.forms.scaled_integers import ScaledIntegers
from forgetmeter.compression.forms.weight import Weight, assembled, cut
from forgetmeter.specs.ranges import Ranges


@dataclass(frozen=True)
class GroupedIntegers(ScaledIntegers):
    """Low-bit weights, computed in floating point; the scales have the integers' shape except along the input axis.

    Attributes:
        input_axis: The axis of the input units, counted from the end: -1, or -2 for ``Conv1D``.
        zero_points: The numbers that stand for 0, in the shape of the scales; ``None`` if they are all 0.
    """

    input_axis: int
    zero_points: Tensor | None = field(default=None, kw_only=True)

    @property
    def is_simulated(self) -> bool:
        """True: it has no kernel."""
        return True

    def has_groups_of(self, other: Weight) -> bool:
        """Whether another weight of this form has as many groups, and zero points if and only if this one has."""
        return (
            isinstance(other, type(self))
            and other.input_axis == self.input_axis
            and other.factors.shape[self.input_axis] == self.factors.shape[self.input_axis]
            and (other.zero_points is None) == (self.zero_points is None)
        )

    def part(self, axis: int, ranges: Ranges) -> Self:
        """Return some output units with their scales and zero points."""
        part = super().part(axis, ranges)
        return part if self.zero_points is None else replace(part, zero_points=cut(self.zero_points, axis, ranges))

    def join(self, axis: int, parts: Sequence[tuple[Ranges, Weight]]) -> Self:
        """Return all output units with their scales and zero points."""
        joined = super().join(axis, parts)
        points = [
            (ranges, bare.zero_points)
            for ranges, part in parts
            if isinstance(bare := part.standalone(), GroupedIntegers) and bare.zero_points is not None
        ]
        return replace(joined, zero_points=assembled(axis, points)) if points else joined

    def transposed(self) -> Self:
        """Return the other orientation."""
        points = None if self.zero_points is None else self.zero_points.transpose(-2, -1).contiguous()
        return replace(super().transposed(), input_axis=-3 - self.input_axis, zero_points=points)

    def spread(self, numbers: Tensor) -> Tensor:
        """Repeat each group's number for all of its input units. Groups are consecutive and of equal size."""
        group = self.integers.shape[self.input_axis] // numbers.shape[self.input_axis]
        return numbers.repeat_interleave(group, dim=self.input_axis)

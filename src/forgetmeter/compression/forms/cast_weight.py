"""Weights stored in 16 bits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from forgetmeter.compression.forms.weight import DenseWeight, Weight
from forgetmeter.specs.ranges import Ranges


@dataclass(frozen=True)
class CastWeight(Weight):
    """Weights stored in 16 bits; the model computes in its own dtype.

    Attributes:
        stored: float16 or bfloat16.
    """

    keeps_dtype = True
    stored: DenseWeight

    @property
    def is_simulated(self) -> bool:
        """True: the model computes in its own dtype."""
        return True

    @property
    def shape(self) -> tuple[int, ...]:
        """The tensor's shape."""
        return self.stored.shape

    def values(self) -> Tensor:
        """Return the 16-bit tensor itself; must not be changed."""
        return self.stored.values()

    def masked(self, keep: Tensor) -> CastWeight:
        """Return a new 16-bit tensor with positive zeros where ``keep`` is false."""
        return CastWeight(self.stored.masked(keep))

    def rewritten(self, values: Tensor) -> CastWeight:
        """Return new values in the same 16-bit dtype."""
        return CastWeight(DenseWeight(values.to(self.values().dtype).contiguous()))

    def bits(self) -> int:
        """Return 16."""
        return self.stored.bits()

    def part(self, axis: int, ranges: Ranges) -> CastWeight:
        """Return some of the weights."""
        return CastWeight(self.stored.part(axis, ranges))

    def can_join(self, other: Weight) -> bool:
        """Whether the other has the same 16-bit dtype."""
        return isinstance(other, CastWeight) and self.stored.can_join(other.stored)

    def join(self, axis: int, parts: Sequence[tuple[Ranges, Weight]]) -> CastWeight:
        """Return a new tensor."""
        return CastWeight(self.stored.join(axis, parts))

    def transposed(self) -> CastWeight:
        """Return a contiguous copy."""
        return CastWeight(self.stored.transposed())

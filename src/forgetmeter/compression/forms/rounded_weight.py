"""Low-bit weights with one scale per group of input units, computed in floating point."""

from __future__ import annotations

from dataclasses import dataclass, replace

from torch import Tensor

from forgetmeter.compression.forms.scaled_integers import ScaledIntegers
from forgetmeter.compression.forms.weight import Weight


@dataclass(frozen=True)
class RoundedWeight(ScaledIntegers):
    """Low-bit weights; their scales have the integers' shape except for the input axis, with one scale per group.

    Attributes:
        input_axis: The axis of the input units, counted from the end: -1, or -2 for ``Conv1D``.
        bit_width: Bits per integer, from 2 to 8.
    """

    input_axis: int
    bit_width: int

    @property
    def is_simulated(self) -> bool:
        """True: it has no kernel."""
        return True

    def values(self) -> Tensor:
        """Return the weights as float32."""
        group = self.integers.shape[self.input_axis] // self.factors.shape[self.input_axis]
        return self.integers * self.factors.repeat_interleave(group, dim=self.input_axis)

    def bits(self) -> int:
        """Return the bits per integer."""
        return self.bit_width

    def integers_and_scales(self) -> tuple[Tensor, Tensor] | None:
        """Return the integers and scales of a matrix whose output units come first."""
        return (self.integers, self.factors) if self.integers.dim() == 2 and self.input_axis == -1 else None

    def can_join(self, other: Weight) -> bool:
        """Whether the other has the same bit width and number of groups per output unit."""
        return (
            isinstance(other, RoundedWeight)
            and (other.bit_width, other.input_axis) == (self.bit_width, self.input_axis)
            and other.factors.shape[self.input_axis] == self.factors.shape[self.input_axis]
        )

    def transposed(self) -> RoundedWeight:
        """Return the other orientation."""
        return replace(super().transposed(), input_axis=-3 - self.input_axis)

"""Weights that are levels of a codebook, times one scale per group of input units."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from forgetmeter.compression.forms.scaled_integers import ScaledIntegers
from forgetmeter.compression.forms.weight import Weight


@dataclass(frozen=True)
class CodebookWeight(ScaledIntegers):
    """Levels of a codebook times scales, computed in floating point; the integers count levels from 0.0.

    Attributes:
        input_axis: The axis of the input units, counted from the end: -1, or -2 for ``Conv1D``.
        levels: The codebook in ascending order, with 0.0; integer 0 stands for that level, 1 for the next.
    """

    input_axis: int
    levels: tuple[float, ...]

    @property
    def is_simulated(self) -> bool:
        """True: it has no kernel."""
        return True

    def values(self) -> Tensor:
        """Return the weights as float32."""
        levels = torch.tensor(self.levels, dtype=torch.float32, device=self.integers.device)
        group = self.integers.shape[self.input_axis] // self.factors.shape[self.input_axis]
        chosen = levels[self.integers.int() + self.levels.index(0.0)]
        return chosen.mul_(self.factors.repeat_interleave(group, dim=self.input_axis))

    def bits(self) -> int:
        """Return the bits per index into the codebook."""
        return (len(self.levels) - 1).bit_length()

    def can_join(self, other: Weight) -> bool:
        """Whether the other has the same codebook and number of groups per output unit."""
        return (
            isinstance(other, CodebookWeight)
            and (other.levels, other.input_axis) == (self.levels, self.input_axis)
            and other.factors.shape[self.input_axis] == self.factors.shape[self.input_axis]
        )

    def transposed(self) -> CodebookWeight:
        """Return the other orientation."""
        return replace(super().transposed(), input_axis=-3 - self.input_axis)

"""Weights that are levels of a codebook, times one scale per group of input units."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from forgetmeter.compression.forms.grouped_integers import GroupedIntegers
from forgetmeter.compression.forms.weight import Weight


@dataclass(frozen=True)
class CodebookWeight(GroupedIntegers):
    """Levels of a codebook times scales, computed in floating point; the integers count levels from 0.0.

    Attributes:
        levels: The codebook in ascending order, with 0.0; integer 0 stands for that level, 1 for the next.
    """

    levels: tuple[float, ...]

    def values(self) -> Tensor:
        """Return the weights as float32."""
        levels = torch.tensor(self.levels, dtype=torch.float32, device=self.integers.device)
        chosen = levels[self.integers.int() + self.levels.index(0.0)]
        return chosen.mul_(self.spread(self.factors))

    def bits(self) -> int:
        """Return the bits per index into the codebook."""
        return (len(self.levels) - 1).bit_length()

    def can_join(self, other: Weight) -> bool:
        """Whether the other has the same codebook and number of groups per output unit."""
        return isinstance(other, CodebookWeight) and other.levels == self.levels and self.has_groups_of(other)

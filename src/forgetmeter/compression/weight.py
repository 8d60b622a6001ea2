"""One weight matrix between the steps of a recipe."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor


class Weight(Protocol):
    """A weight matrix in whatever form the steps so far have brought it to. Never changed in place."""

    def values(self) -> Tensor:
        """Return the weights as a floating-point tensor of shape ``(output units, input units)``."""
        ...

    def masked(self, keep: Tensor) -> Weight:
        """Return the same with zeros where ``keep`` (bool, the weights' shape) is false, in the same form."""
        ...

    def bits(self) -> int:
        """Return the number of bits that one stored weight takes."""
        ...

    def scales(self) -> int:
        """Return how many float32 scales are stored beside the weights."""
        ...


@dataclass(frozen=True)
class DenseWeight:
    """Plain floating-point weights."""

    tensor: Tensor

    def values(self) -> Tensor:
        """Return the tensor itself; it must not be changed."""
        return self.tensor

    def masked(self, keep: Tensor) -> DenseWeight:
        """Return a new tensor with positive zeros where ``keep`` is false."""
        return DenseWeight(torch.where(keep, self.tensor, torch.zeros((), dtype=self.tensor.dtype)))

    def bits(self) -> int:
        """Return the width of the dtype."""
        return int(self.tensor.element_size()) * 8

    def scales(self) -> int:
        """Return 0: plain weights need none."""
        return 0

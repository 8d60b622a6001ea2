"""What a recipe really did to a model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class RoleCount:
    """Weights of one role: how many there are, and how many of them are zero."""

    weights: int
    zeros: int


@dataclass(frozen=True)
class Reached:
    """What a recipe really did to a model.

    Attributes:
        roles: Counts by role (``attention.query`` ...) over the whole model, compressed or not.
        selected_weights: Weights in the union of the recipe's scopes.
        selected_zeros: Zeros among those.
        removed_weights: Zeros in all roles beyond those that the baseline has.
        dense_bytes: The model stored plainly, each weight in the dtype that it has in the checkpoint, in whatever dtype
            it was computed; of a GGUF file, once it is dequantized to float32.
        bitmask_bytes: The same, with each matrix that has zeros stored as one bit a weight plus its
            non-zero weights, where that is smaller.
        quantized_bytes: The same as ``dense_bytes``, with quantized matrices at their bits plus scales, and without
            those of dropped layers.
        simulated: Whether a step was computed in floating point, because the device or the method has no kernel for
            it.
        smallest_bytes: The same as ``dense_bytes``, with each matrix in the smallest of the ways it can be stored:
            plain, at its bits, as a bitmask plus non-zero weights at their bits, without the units that are all zero,
            or as two factors of low rank. ``None`` in records from before it was counted.
    """

    roles: Mapping[str, RoleCount]
    selected_weights: int
    selected_zeros: int
    removed_weights: int
    dense_bytes: int
    bitmask_bytes: int
    quantized_bytes: int
    simulated: bool
    smallest_bytes: int | None = None

    @property
    def sparsity(self) -> float:
        """Share of zeros in the recipe's scopes, from 0 to 1; 0 for the baseline."""
        return self.selected_zeros / self.selected_weights if self.selected_weights else 0.0

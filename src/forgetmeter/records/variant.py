"""Sparsity and size that a recipe reached in a model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class RoleCount:
    """Numbers of weights and of zeros of one role."""

    weights: int
    zeros: int


@dataclass(frozen=True)
class Reached:
    """Sparsity and size that a recipe reached in a model.

    Attributes:
        roles: Counts by role (``attention.query`` ...) over the whole model, compressed or not.
        selected_weights: Weights in the union of the recipe's scopes.
        selected_zeros: Zeros among the selected weights.
        removed_weights: Zeros in all roles beyond those of the baseline.
        dense_bytes: The model as plain tensors, each weight in its checkpoint dtype whatever the dtype of computation;
            of a GGUF file or an unpacked checkpoint, in float32.
        bitmask_bytes: Like ``dense_bytes``, with each matrix that has zeros stored as a bitmask plus its nonzero
            weights, if that is smaller.
        quantized_bytes: Like ``dense_bytes``, with quantized matrices at their bit width plus scales, and without the
            matrices of dropped layers.
        simulated: Whether a step was computed in floating point for lack of a kernel.
        smallest_bytes: Like ``dense_bytes``, with each matrix in its smallest format: plain, at its bit width, as a
            bitmask plus nonzero weights at their bit width, without all-zero units, or as two low-rank factors.
            ``None`` in records of versions that did not compute it.
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

"""Rank reduction of a matrix by its singular values."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from forgetmeter.compression.forms.unusable_weight import refuse_not_finite
from forgetmeter.compression.forms.weight import DenseWeight, Weight, assembled, cut
from forgetmeter.compression.method import MatrixMethod, Options
from forgetmeter.compression.ranking.pools import RANKS
from forgetmeter.specs.method import MethodDeclaration
from forgetmeter.specs.ranges import Ranges
from forgetmeter.specs.recipe import Level


@dataclass(frozen=True)
class LowRankWeight:
    """Weights that two thin matrices could stand for; the model computes with their product.

    Attributes:
        product: The product, in the shape and dtype of the parameter.
        rank: How many singular values are not zero.
    """

    product: Tensor
    rank: int

    @property
    def shape(self) -> tuple[int, ...]:
        """The product's shape."""
        return tuple(self.product.shape)

    def values(self) -> Tensor:
        """Return the product; it must not be changed."""
        return self.product

    def masked(self, keep: Tensor) -> Weight:
        """Return plain weights: zeros here and there leave no low rank."""
        return DenseWeight(self.product).masked(keep)

    def bits(self) -> int:
        """Return the width of the dtype."""
        return int(self.product.element_size()) * 8

    def scales(self) -> int:
        """Return 0: there are none."""
        return 0

    def factor_weights(self) -> int:
        """Return how many numbers the two factors hold."""
        return self.rank * sum(self.shape[-2:]) * math.prod(self.shape[:-2])

    def part(self, axis: int, ranges: Ranges) -> LowRankWeight:
        """Return some output units; their rank is no larger."""
        return LowRankWeight(cut(self.product, axis, ranges), self.rank)

    def joins(self, other: Weight) -> bool:
        """Whether it is the same weight: together, two matrices of low rank have a larger one."""
        return other is self

    def together(self, axis: int, parts: Sequence[tuple[Ranges, Weight]]) -> Weight:
        """Return plain weights."""
        return DenseWeight(assembled(axis, [(ranges, part.values()) for ranges, part in parts]))

    def transposed(self) -> LowRankWeight:
        """Return a contiguous copy."""
        return LowRankWeight(self.product.transpose(-2, -1).contiguous(), self.rank)


def transform(weight: Weight, level: Level | None, options: Options) -> LowRankWeight:  # noqa: ARG001
    """Keep the largest singular values: the matrix of that rank that is nearest in Frobenius norm.

    ``round(level * rank)`` of the ``min(output units, input units)`` singular values are removed, so that level 0
    keeps all, and 1 leaves a matrix of zeros; LASER's ρ is 1 - level. Computed in float32, or float64 where the
    weights are. Each expert of a tensor of experts is a matrix.

    Args:
        weight: The weights; either orientation gives the same.
        level: The share of the rank that is removed.
        options: None.

    Raises:
        UnusableWeightError: The weights hold NaN or infinity.
    """
    values = weight.values().detach()
    refuse_not_finite(values, "decomposed")
    full = min(values.shape[-2:])
    rank = full - round(float(level or 0) * full)
    if rank == full:
        return LowRankWeight(values, rank)
    wide = values.to(torch.promote_types(values.dtype, torch.float32))
    left, singular, right = torch.linalg.svd(wide, full_matrices=False)
    product = (left[..., :rank] * singular[..., None, :rank]) @ right[..., :rank, :]
    return LowRankWeight(product.to(values.dtype), rank)


METHOD = MatrixMethod(
    MethodDeclaration(
        name="svd",
        summary="Removes the given fraction of each matrix's rank, its smallest singular values.",
        reference="LASER (Sharma et al. 2023, 2312.13558)",
        level="fraction",
        pools=RANKS,
        effect="rewrites",
        kind="low_rank",
    ),
    transform,
)

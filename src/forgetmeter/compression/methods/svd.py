"""Low-rank approximation by singular value decomposition."""

from __future__ import annotations

import torch

from forgetmeter.compression.forms.low_rank_weight import LowRankWeight
from forgetmeter.compression.forms.unusable_weight import refuse_not_finite
from forgetmeter.compression.forms.weight import Weight
from forgetmeter.compression.method import MatrixMethod, Options
from forgetmeter.compression.ranking.pools import RANKS
from forgetmeter.specs.method import MethodDeclaration
from forgetmeter.specs.recipe import Level


def transform(weight: Weight, level: Level | None, options: Options) -> LowRankWeight:  # noqa: ARG001
    """Keep the largest singular values, which gives the nearest matrix of that rank in the Frobenius norm.

    Removes ``round(level * rank)`` of the ``min(output units, input units)`` singular values: none at level 0, all at
    level 1; LASER's ρ is 1 - level. Computed in float32, or float64 if the weights are. Each expert is a matrix.

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
        phrase="{percent} of the rank removed",
        pools=RANKS,
        effect="rewrites",
        kind="low_rank",
    ),
    transform,
)

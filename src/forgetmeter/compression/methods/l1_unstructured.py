"""Unstructured pruning by magnitude."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from torch import Tensor

from forgetmeter.compression.forms.unusable_weight import UnusableWeightError
from forgetmeter.compression.method import Options, PruningMethod
from forgetmeter.compression.ranking.magnitude_ranking import (
    MagnitudesBeyond,
    Threshold,
    find_thresholds,
    rank_magnitudes,
    survivors,
)
from forgetmeter.compression.ranking.pools import WEIGHTS
from forgetmeter.specs.method import MethodDeclaration, Option
from forgetmeter.specs.role import MATRICES

SurvivorsAt = Callable[[float], Iterator[Tensor | MagnitudesBeyond]]

_GRID = tuple(tenths / 10 for tenths in range(1, 10))
"""Levels whose thresholds are found along with the first requested one, at almost no extra cost."""


def rank(tensors: Sequence[Tensor], options: Options, *, seed: int) -> SurvivorsAt:  # noqa: ARG001
    """Rank weights by magnitude; a level zeroes exactly ``round(level * n)`` of the smallest.

    Without ties at the threshold, the survivors are those of ``torch.nn.utils.prune.global_unstructured`` with
    ``L1Unstructured``. Ties are zeroed in the order of the tensors, then of the flat index; torch leaves this open.

    Args:
        tensors: Floating-point weights of any shape.

    Raises:
        UnusableWeightError: A tensor holds NaN.
    """
    if options["pool"] == "matrix":
        return _rank_each(tensors)
    return _rank_pool(tensors)


def _rank_pool(tensors: Sequence[Tensor]) -> SurvivorsAt:
    ranking = rank_magnitudes(tensors)
    thresholds: dict[int, Threshold] = {}

    def survivors_at(level: float) -> Iterator[Tensor | MagnitudesBeyond]:
        count = round(level * ranking.size)
        if count not in thresholds:
            counts = {count, *(round(other * ranking.size) for other in _GRID)}
            thresholds.update(find_thresholds(tensors, ranking, counts))
        return survivors(tensors, ranking.dtype, thresholds[count])

    return survivors_at


def _rank_each(tensors: Sequence[Tensor]) -> SurvivorsAt:
    pools = [_rank_alone(tensors, position) for position in range(len(tensors))]

    def survivors_at(level: float) -> Iterator[Tensor | MagnitudesBeyond]:
        for pool in pools:
            yield from pool(level)

    return survivors_at


def _rank_alone(tensors: Sequence[Tensor], position: int) -> SurvivorsAt:
    try:
        # A slice stays lazy; indexing would compute the tensor.
        return _rank_pool(tensors[position : position + 1])
    except UnusableWeightError as error:
        raise UnusableWeightError(error.reason, position=position) from None


METHOD = PruningMethod(
    MethodDeclaration(
        name="l1_unstructured",
        summary="Zeroes the given fraction of weights, those of smallest magnitude.",
        reference="torch.nn.utils.prune.global_unstructured (Han et al. 2015, 1506.02626)",
        level="fraction",
        forms=(*MATRICES, "array", "lookup"),
        phrase="{percent} pruned",
        pools=WEIGHTS,
        options={
            "pool": Option(
                "global",
                "Rank the weights of all matrices of the scope together, or those of each matrix separately.",
                ("global", "matrix"),
            )
        },
    ),
    rank,
)

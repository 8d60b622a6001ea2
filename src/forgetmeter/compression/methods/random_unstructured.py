"""Random unstructured pruning, the control for magnitude pruning."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from forgetmeter.compression.method import MasksAt, Options, PruningMethod
from forgetmeter.compression.ranking.pools import WEIGHTS_OF_EACH
from forgetmeter.specs.method import MethodDeclaration
from forgetmeter.specs.role import MATRICES


def rank(tensors: Sequence[Tensor], options: Options, *, seed: int) -> MasksAt:  # noqa: ARG001
    """Choose weights at random; a level zeroes exactly ``round(level * n)`` of each matrix.

    The masks are bitwise those of ``torch.manual_seed(seed)`` followed by
    ``torch.nn.utils.prune.random_unstructured(module, "weight", level)`` on each matrix in order. One stream of
    float32 numbers, always drawn on the CPU, covers all matrices, and the weights with the largest numbers are zeroed.
    So a higher level zeroes all that a lower one does (except among equal numbers, whose order torch leaves open), and
    a matrix's mask depends on the matrices before it in the scope.

    Args:
        tensors: Floating-point weights of any shape; only their shapes are used.
        seed: Seed of the stream, which each level restarts.
    """

    def masks_at(level: float) -> Iterator[Tensor]:
        stream = torch.Generator().manual_seed(seed)
        for tensor in tensors:
            yield _keep(tensor, level, stream)

    return masks_at


def _keep(tensor: Tensor, level: float, stream: torch.Generator) -> Tensor:
    keep = torch.ones(tensor.shape, dtype=torch.bool)
    count = round(level * tensor.numel())
    # torch draws no numbers if nothing is removed.
    if count:
        drawn = torch.rand(tensor.shape, generator=stream)
        keep.view(-1)[torch.topk(drawn.view(-1), k=count).indices] = False
    return keep.to(tensor.device)


METHOD = PruningMethod(
    MethodDeclaration(
        name="random_unstructured",
        summary="Zeroes the given fraction of each matrix's weights, chosen at random with the study's seed.",
        reference="torch.nn.utils.prune.random_unstructured",
        level="fraction",
        forms=(*MATRICES, "array", "lookup"),
        phrase="{percent} pruned at random",
        pools=WEIGHTS_OF_EACH,
    ),
    rank,
)

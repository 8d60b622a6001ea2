"""Unstructured pruning at random: what magnitude is worth shows against it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from forgetmeter.compression.method import MasksAt, Options, PruningMethod
from forgetmeter.compression.ranking.pools import WEIGHTS_OF_EACH
from forgetmeter.specs.method import MethodDeclaration


def rank(tensors: Sequence[Tensor], options: Options, *, seed: int) -> MasksAt:  # noqa: ARG001
    """Choose weights at random; a level zeroes exactly ``round(level * n)`` of each matrix.

    The masks are to the bit those that ``torch.manual_seed(seed)`` and then
    ``torch.nn.utils.prune.random_unstructured(module, "weight", level)`` on each matrix in order give: one stream
    of float32 numbers, drawn on the CPU whatever the weights are, goes through all matrices, and the weights with the
    largest numbers go. So a higher level zeroes all that a lower one does (but for equal numbers, which
    torch chooses among as it likes), and a matrix's mask depends on the ones before it in the scope.

    Args:
        tensors: Floating-point weights of any shape; their values are not looked at.
        options: None.
        seed: Of the stream; each level starts it anew.
    """

    def masks_at(level: float) -> Iterator[Tensor]:
        stream = torch.Generator().manual_seed(seed)
        for tensor in tensors:
            yield _keep(tensor, level, stream)

    return masks_at


def _keep(tensor: Tensor, level: float, stream: torch.Generator) -> Tensor:
    keep = torch.ones(tensor.shape, dtype=torch.bool)
    count = round(level * tensor.numel())
    # torch draws nothing where nothing goes.
    if count:
        drawn = torch.rand(tensor.shape, generator=stream)
        keep.view(-1)[torch.topk(drawn.view(-1), k=count).indices] = False
    return keep.to(tensor.device)


METHOD = PruningMethod(
    MethodDeclaration(
        name="random_unstructured",
        summary="Zeroes the given fraction of each matrix's weights, chosen at random by the study's seed.",
        reference="torch.nn.utils.prune.random_unstructured",
        level="fraction",
        pools=WEIGHTS_OF_EACH,
    ),
    rank,
)

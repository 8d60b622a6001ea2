"""Random structured pruning."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from forgetmeter.compression.method import MasksAt, Options, PruningMethod
from forgetmeter.compression.ranking.pools import DIM, UNITS, unit_count, unit_mask
from forgetmeter.specs.method import MethodDeclaration


def rank(tensors: Sequence[Tensor], options: Options, *, seed: int) -> MasksAt:
    """Choose units at random; a level zeroes exactly ``round(level * units)`` of each matrix.

    The masks are bitwise those of ``torch.manual_seed(seed)`` followed by
    ``torch.nn.utils.prune.random_structured(module, "weight", level, dim)`` on each matrix in order. One stream of
    float32 numbers, always drawn on the CPU, covers all matrices, and the units with the smallest numbers are removed.
    If two units draw the same number at the threshold, torch zeroes both; here only the one of lower index is removed.
    As in torch, the bias of a removed unit stays and becomes its constant output.

    Args:
        tensors: Weights, ``(…, output units, input units)``; only their shapes are used.
        seed: Seed of the stream, which each level restarts: a higher level zeroes all that a lower one does.
    """
    dim = int(options["dim"])

    def masks_at(level: float) -> Iterator[Tensor]:
        stream = torch.Generator().manual_seed(seed)
        for tensor in tensors:
            count = round(level * unit_count(tensor, dim))
            # torch draws no numbers if nothing is removed.
            drawn = torch.rand(unit_count(tensor, dim) if count else 0, generator=stream)
            yield unit_mask(tensor, dim, drawn.argsort(stable=True)[:count])

    return masks_at


METHOD = PruningMethod(
    MethodDeclaration(
        name="random_structured",
        summary="Zeroes the given fraction of each matrix's output units, chosen at random; biases stay.",
        reference="torch.nn.utils.prune.random_structured",
        level="fraction",
        phrase="{percent} of units pruned at random",
        kind="structured",
        counterpart="random_unstructured",
        pools=UNITS,
        options={"dim": DIM},
    ),
    rank,
    orientation="outputs_first",
)

"""Structured pruning at random."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from forgetmeter.compression.method import MasksAt, Options, PruningMethod
from forgetmeter.compression.ranking.pools import DIM, UNITS, unit_count, unit_mask
from forgetmeter.specs.method import MethodDeclaration


def rank(tensors: Sequence[Tensor], options: Options, *, seed: int) -> MasksAt:
    """Choose units at random; a level zeroes exactly ``round(level * units)`` of each matrix.

    The masks are to the bit those that ``torch.manual_seed(seed)`` and then
    ``torch.nn.utils.prune.random_structured(module, "weight", level, dim)`` on each matrix in order give: one
    stream of float32 numbers, drawn on the CPU whatever the weights are, goes through all matrices, and the units
    with the smallest numbers go. Where two units drew the same number at the threshold, torch zeroes both, here
    the one of lower index goes. As with torch, the bias of a removed unit stays: the unit then always says its
    bias.

    Args:
        tensors: Weights, ``(…, output units, input units)``; their values are not looked at.
        options: ``dim``, which units.
        seed: Of the stream; each level starts it anew, so that a higher level zeroes all that a lower one does.
    """
    dim = int(options["dim"])

    def masks_at(level: float) -> Iterator[Tensor]:
        stream = torch.Generator().manual_seed(seed)
        for tensor in tensors:
            count = round(level * unit_count(tensor, dim))
            # torch draws nothing where nothing goes.
            drawn = torch.rand(unit_count(tensor, dim) if count else 0, generator=stream)
            yield unit_mask(tensor, dim, drawn.argsort(stable=True)[:count])

    return masks_at


METHOD = PruningMethod(
    MethodDeclaration(
        name="random_structured",
        summary="Zeroes the given fraction of each matrix's output units, chosen at random; biases stay.",
        reference="torch.nn.utils.prune.random_structured",
        level="fraction",
        kind="structured",
        counterpart="random_unstructured",
        pools=UNITS,
        options={"dim": DIM},
    ),
    rank,
    orientation="outputs_first",
)

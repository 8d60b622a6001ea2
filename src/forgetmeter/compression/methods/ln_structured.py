"""Structured pruning of whole units by norm."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from forgetmeter.compression.forms.unusable_weight import UnusableWeightError
from forgetmeter.compression.method import MasksAt, Options, PruningMethod
from forgetmeter.compression.ranking.pools import DIM, UNITS, unit_mask
from forgetmeter.specs.method import MethodDeclaration, Option


def rank(tensors: Sequence[Tensor], options: Options, *, seed: int) -> MasksAt:  # noqa: ARG001
    """Rank the units of each matrix by norm; a level zeroes exactly ``round(level * units)`` of each matrix.

    Without equal norms, the masks are those of ``torch.nn.utils.prune.ln_structured`` on each matrix. Of equal norms,
    the unit of lower index is removed first; torch leaves this open. Norms of 16-bit weights are float32, so few are
    equal. As in torch, the bias of a removed unit stays and becomes its constant output.

    Args:
        tensors: Weights, ``(…, output units, input units)``. Experts' units are ranked within their tensor.

    Raises:
        UnusableWeightError: A tensor holds NaN.
    """
    dim = int(options["dim"])
    order = math.inf if options["n"] == "inf" else float(options["n"])
    rankings = [_order(tensor, order, dim, position) for position, tensor in enumerate(tensors)]

    def masks_at(level: float) -> Iterator[Tensor]:
        for tensor, ranking in zip(tensors, rankings, strict=True):
            yield unit_mask(tensor, dim, ranking[: round(level * ranking.numel())])

    return masks_at


def _order(tensor: Tensor, order: float, dim: int, position: int) -> Tensor:
    wide = torch.promote_types(tensor.dtype, torch.float32)
    norms = torch.norm(tensor, p=order, dim=[-1 if dim == 0 else -2], dtype=wide).view(-1)
    if norms.isnan().any():
        raise UnusableWeightError("holds NaN, which has no norm; use an intact checkpoint", position=position)
    return norms.argsort(stable=True)


METHOD = PruningMethod(
    MethodDeclaration(
        name="ln_structured",
        summary="Zeroes the given fraction of each matrix's output units, those of smallest norm; biases stay. "
        "Experts in one tensor are ranked together.",
        reference="torch.nn.utils.prune.ln_structured",
        level="fraction",
        phrase="{percent} of units pruned",
        kind="structured",
        counterpart="l1_unstructured",
        pools=UNITS,
        options={"n": Option(1.0, "The order of the norm.", least=0, words=("inf",)), "dim": DIM},
    ),
    rank,
    orientation="outputs_first",
)

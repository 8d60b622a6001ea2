"""N:M pruning: the pattern of sparse tensor cores."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from forgetmeter.compression.forms.unusable_weight import UnusableWeightError
from forgetmeter.compression.method import MasksAt, Options, PruningMethod
from forgetmeter.specs.method import MethodDeclaration, Option
from forgetmeter.specs.recipe import Level
from forgetmeter.specs.role import Matrix

_PIECE = 1 << 20
"""Weights sorted at once, so that their indices take only a few MB."""


def rank(tensors: Sequence[Tensor], options: Options, *, seed: int) -> MasksAt:  # noqa: ARG001
    """Zero the ``n`` smallest magnitudes in every ``m`` neighbouring input units of each output unit.

    Of equal magnitudes, the one with the lower index is zeroed first.

    Args:
        tensors: Weights, ``(…, output units, input units)``; ``m`` divides the input units.

    Returns:
        A function that yields the masks and ignores its argument, since the method has no level.
    """
    zeros, size = int(options["n"]), int(options["m"])

    def masks_at(_level: float) -> Iterator[Tensor]:
        for position, tensor in enumerate(tensors):
            yield _keep(tensor, zeros, size, position)

    return masks_at


def _keep(tensor: Tensor, zeros: int, size: int, position: int) -> Tensor:
    keep = torch.ones(tensor.shape, dtype=torch.bool, device=tensor.device)
    rows = max(1, _PIECE // tensor.shape[-1])
    for piece, target in zip(
        tensor.detach().reshape(-1, tensor.shape[-1]).split(rows),
        keep.view(-1, tensor.shape[-1]).split(rows),
        strict=True,
    ):
        magnitudes = piece.abs().unflatten(-1, (-1, size))
        if magnitudes.isnan().any():
            raise UnusableWeightError("holds NaN, which has no magnitude; use an intact checkpoint", position=position)
        smallest = magnitudes.argsort(dim=-1, stable=True)[..., :zeros]
        target.unflatten(-1, (-1, size)).scatter_(-1, smallest, False)
    return keep


def check(matrices: Sequence[Matrix], _level: Level | None, options: Options) -> Iterator[str]:
    """Report that n is not below m, or the first matrix whose width is not a multiple of m."""
    zeros, size = int(options["n"]), int(options["m"])
    if zeros >= size:
        yield f"n_m with n={zeros} and m={size} would zero everything; n (zeros) must be smaller than m"
        return
    bad = next((matrix for matrix in matrices if matrix.inputs % size), None)
    if bad is not None:
        yield (
            f"n_m: m={size} does not divide the {bad.inputs} input units of {bad.parameter}; "
            "choose an m that does, or a scope without it"
        )


METHOD = PruningMethod(
    MethodDeclaration(
        name="n_m",
        summary="Zeroes the n smallest of every m neighbouring weights of an output unit; 2 of 4 by default.",
        reference="Zhou et al. 2021, 2102.04010; sparse tensor cores (Mishra et al. 2021, 2104.08378)",
        level="none",
        phrase="{n=2} of every {m=4} pruned",
        kind="semi_structured",
        options={
            "n": Option(2, "Number of weights to zero per group.", least=1),
            "m": Option(4, "Number of neighbouring input units per group.", least=2),
        },
    ),
    rank,
    check=check,
    orientation="outputs_first",
)

"""N:M pruning: the pattern that sparse tensor cores take."""

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
"""Weights sorted in one go, so that their indices take a few MB only."""


def rank(tensors: Sequence[Tensor], options: Options, *, seed: int) -> MasksAt:  # noqa: ARG001
    """Zero the ``n`` smallest magnitudes in every ``m`` neighbouring input units of each output unit.

    Of equal magnitudes the one of lower index goes first.

    Args:
        tensors: Weights, ``(…, output units, input units)``; ``m`` divides the input units.
        options: ``n`` and ``m``.
        seed: Not used.

    Returns:
        A function that gives the masks; there is no level, so that its argument is not looked at.
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
            raise UnusableWeightError("holds NaN, which has no magnitude; load a sound checkpoint", position=position)
        smallest = magnitudes.argsort(dim=-1, stable=True)[..., :zeros]
        target.unflatten(-1, (-1, size)).scatter_(-1, smallest, False)
    return keep


def check(matrices: Sequence[Matrix], _level: Level | None, options: Options) -> Iterator[str]:
    """Say that n must be below m, or which matrix is the first whose width is no multiple of m."""
    zeros, size = int(options["n"]), int(options["m"])
    if zeros >= size:
        yield f"n_m with n={zeros} and m={size} would leave nothing; n (zeros) must be smaller than m"
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
        summary="Zeroes the n smallest weights in every m neighbouring ones of an output unit; 2 in 4 by default.",
        reference="Zhou et al. 2021, 2102.04010; sparse tensor cores (Mishra et al. 2021, 2104.08378)",
        level="none",
        kind="semi_structured",
        options={
            "n": Option(2, "How many of them become zero.", least=1),
            "m": Option(4, "How many neighbouring input units make a group.", least=2),
        },
    ),
    rank,
    check=check,
    orientation="outputs_first",
)

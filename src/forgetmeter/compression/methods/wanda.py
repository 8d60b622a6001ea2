"""Wanda: pruning by magnitude times the size of the input."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from forgetmeter.compression.calibrated.input_moments import InputMoments
from forgetmeter.compression.method import CalibratedMethod, Options
from forgetmeter.specs.method import MethodDeclaration, Option
from forgetmeter.specs.recipe import Level
from forgetmeter.specs.role import Matrix


def compress(weight: Tensor, inputs: InputMoments, level: Level | None, options: Options) -> Tensor:
    """Zero the weights of smallest ``|weight| * ‖inputs of its column‖`` in each output unit, or in each group of it.

    Each output unit loses ``round(level * input units)`` weights, or each ``m`` neighbouring input units of it
    ``round(level * m)``. Of equal scores, the one with the lower index is zeroed first. A layer that no text reaches is
    pruned by magnitude.

    Args:
        weight: float32, ``(output units, input units)``.
        inputs: Inputs of the layer.
        level: Share of zeros.
        options: ``m``.
    """
    size = int(options["m"]) or weight.shape[1]
    # The mean over positions differs from the sum by a factor that no comparison sees.
    norms = inputs.squares.sqrt() if inputs.positions else torch.ones_like(inputs.squares)
    scores = (weight.abs() * norms).unflatten(-1, (-1, size))
    smallest = scores.argsort(dim=-1, stable=True)[..., : round(float(level or 0) * size)]
    return torch.ones_like(scores, dtype=torch.bool).scatter_(-1, smallest, False).flatten(-2)


def check(matrices: Sequence[Matrix], level: Level | None, options: Options) -> Iterator[str]:
    """Report groups that do not divide a matrix's input units, or that the level does not divide."""
    size = int(options["m"])
    if not size:
        return
    zeros = float(level or 0) * size
    if abs(zeros - round(zeros)) > 1e-9:
        yield f"level {float(level or 0):g} of m={size} weights is not a whole number; choose a multiple of 1/{size}"
    bad = next((matrix for matrix in matrices if matrix.inputs % size), None)
    if bad is not None:
        yield (
            f"m={size} does not divide the {bad.inputs} input units of {bad.parameter}; choose an m that does, or a "
            "scope without it"
        )


METHOD = CalibratedMethod(
    MethodDeclaration(
        name="wanda",
        summary="Zeroes the given fraction of each output unit's weights: those with the smallest |weight| · |input|.",
        reference="Wanda (Sun et al. 2023, 2306.11695)",
        level="fraction",
        forms=("linear", "conv1d"),
        phrase="{percent} pruned by Wanda",
        options={
            "m": Option(0, "Group size: the level applies to each m neighbouring input units; 0 for all.", least=0)
        },
    ),
    compress,
    check=check,
)

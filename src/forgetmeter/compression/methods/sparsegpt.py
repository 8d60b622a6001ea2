"""SparseGPT: prunes one input unit at a time; those still to come compensate for its errors."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from forgetmeter.compression.calibrated.column_by_column import Settle, compensated, curvature, inverse_factor
from forgetmeter.compression.calibrated.input_moments import InputMoments
from forgetmeter.compression.forms.unusable_weight import refuse_not_finite
from forgetmeter.compression.method import CalibratedMethod, Options
from forgetmeter.compression.methods import wanda
from forgetmeter.specs.method import MethodDeclaration, Option
from forgetmeter.specs.recipe import Level
from forgetmeter.specs.role import Matrix


def compress(weight: Tensor, inputs: InputMoments, level: Level | None, options: Options) -> Tensor:
    """Zero weights one input unit at a time, and change later ones so that the layer's outputs change least.

    The published algorithm. At the start of each block of ``block_size`` input units, its weights of smallest
    ``weight² / [H⁻¹]`` are chosen, over all output units together, where H⁻¹ is the inverse Hessian of the input units
    not yet settled. As published, a block of n weights loses ``int(level * n) + 1`` of them, at most all (none at level
    0), and those that tie with the last. With ``m``, each ``m`` neighbouring input units of each output unit lose
    ``round(level * m)``, chosen when the first of them is reached.

    As published, weights of an input unit that is always zero become 0. Weights that are 0 before, such as pruned ones,
    count as the smallest and stay 0. A layer that no text reaches is pruned by magnitude.

    Args:
        weight: float32, ``(output units, input units)``.
        inputs: Inputs of the layer, with products.
        level: Share of zeros.
        options: ``m``, ``block_size`` and ``damp``.

    Raises:
        UnusableWeightError: The weights hold NaN or infinity.
    """
    refuse_not_finite(weight, "pruned by SparseGPT")
    share, size = float(level or 0), int(options["m"])
    used = inputs.squares > 0
    columns = weight.t().clone(memory_format=torch.contiguous_format)
    if used.any():
        columns[~used] = 0
    zeros = columns == 0
    factor = inverse_factor(curvature(inputs), float(options["damp"]))
    scores_by = factor.diagonal()[:, None]

    def scores(first: int, weights: Tensor) -> Tensor:
        end = first + len(weights)
        return (weights / scores_by[first:end]).square_().masked_fill_(zeros[first:end], 0)

    def begin(first: int, block: Tensor) -> Settle:
        dropped = zeros[first : first + len(block)].clone()
        if not size:
            dropped |= _smallest(scores(first, block), share)

        def settle(at: int) -> Tensor:
            if size and at % size == 0:
                order = scores(first + at, block[at : at + size]).argsort(dim=0, stable=True)
                dropped[at : at + size].scatter_(0, order[: round(share * size)], True)
            return block[at].masked_fill(dropped[at], 0)

        return settle

    compensated(columns, factor, int(options["block_size"]), begin)
    return columns.t()


def _smallest(scores: Tensor, share: float) -> Tensor:
    """Return where scores are at most the one of rank ``int(share * scores)``, counted from 0."""
    if not share:
        return torch.zeros_like(scores, dtype=torch.bool)
    count = min(int(share * scores.numel()) + 1, scores.numel())
    return scores <= scores.flatten().kthvalue(count).values


def check(matrices: Sequence[Matrix], level: Level | None, options: Options) -> Iterator[str]:
    """Report groups that the level, a matrix's input units or the blocks are not multiples of."""
    yield from wanda.check(matrices, level, options)
    size, block_size = int(options["m"]), int(options["block_size"])
    if size and block_size % size:
        yield f"block_size={block_size} is not a multiple of m={size}; choose one that is"


METHOD = CalibratedMethod(
    MethodDeclaration(
        name="sparsegpt",
        summary="Zeroes the given fraction of weights, one input unit at a time, and adjusts later ones to compensate.",
        reference="SparseGPT (Frantar & Alistarh 2023, 2301.00774)",
        level="fraction",
        forms=("linear", "conv1d"),
        phrase="{percent} pruned by SparseGPT",
        options={
            "m": Option(
                0, "Group size: the level applies to each m neighbouring input units; 0 for no groups.", least=0
            ),
            "block_size": Option(128, "Number of input units whose weights are chosen together.", least=1),
            "damp": Option(0.01, "Share of the mean squared input to add to each squared input.", least=0),
        },
        effect="rewrites",
        kind="unstructured",
    ),
    compress,
    has_products=True,
    check=check,
)

"""Half-quadratic quantization: zero points that make most errors small and leave few large ones."""

from __future__ import annotations

import torch
from torch import Tensor

from forgetmeter.compression.forms.shifted_weight import ShiftedWeight, shifted
from forgetmeter.compression.forms.unusable_weight import refuse_not_finite
from forgetmeter.compression.forms.weight import Weight
from forgetmeter.compression.method import MatrixMethod, Options
from forgetmeter.compression.methods.round_to_nearest import check
from forgetmeter.specs.method import MethodDeclaration, Option
from forgetmeter.specs.recipe import Level
from forgetmeter.specs.role import MATRICES

_NORM, _BETA, _ROUNDS = 0.7, 10.0, 20
_NARROW, _LARGEST_INVERSE = 1e-4, 2e4
"""Groups of a narrower range have scale 1, and no scale is smaller than the reciprocal: the package's limits."""


def transform(weight: Weight, level: Level | None, options: Options) -> ShiftedWeight:
    """Quantize each matrix by the package's default solver (``optimize_weights_proximal``), along the input units.

    Scales are those of the range of each group. Zero points start there as well, and are then moved in up to 20 rounds,
    to lower the sum of the errors' magnitudes to the power 0.7. The rounds end if the mean error of the whole matrix no
    longer falls. Zeros stay 0 if they are at least 1% of the weights, as after pruning; fewer are rounded like other
    weights, as by the package, so that a few do not cost all weights one bit.

    Args:
        weight: Weights, ``(…, output units, input units)``; each expert is a matrix.
        level: Bits.
        options: ``group_size``.

    Raises:
        UnusableWeightError: The weights hold NaN or infinity.
    """
    values, bits = weight.values().detach(), int(level or 0)
    refuse_not_finite(values, "quantized")
    groups = values.to(torch.float32).unflatten(-1, (-1, int(options["group_size"]) or values.shape[-1]))
    solved = [_solved(matrix.flatten(0, 1), bits) for matrix in groups.reshape(-1, *groups.shape[-3:])]
    inverse, points = (torch.stack(each).view(*groups.shape[:-1], 1) for each in zip(*solved, strict=True))
    return shifted(groups, inverse, points, bits)


def _solved(groups: Tensor, bits: int) -> tuple[Tensor, Tensor]:
    """Return the reciprocals of the scales, and the zero points, ``(groups, 1)``; ``groups`` has one row each."""
    least, most = groups.aminmax(dim=-1, keepdim=True)
    width, largest = most - least, 2**bits - 1
    inverse = torch.where(width <= _NARROW, 1.0, largest / width).clamp_max_(_LARGEST_INVERSE)
    points, lowest = -least * inverse, torch.inf
    for _ in range(_ROUNDS):
        integers = (groups * inverse).add_(points).round_().clamp_(0, largest)
        errors = groups - (integers - points).div_(inverse)
        points = integers.sub_((groups - _large(errors)).mul_(inverse)).mean(-1, keepdim=True)
        mean = float(errors.abs().mean())
        if mean >= lowest:
            break
        lowest = mean
    return inverse, points


def _large(errors: Tensor) -> Tensor:
    """Return the errors to be tolerated: large ones, shrunk by the proximal operator of the norm; 0 for others."""
    magnitudes = errors.abs()
    return magnitudes.sub_(magnitudes.pow(_NORM - 1).mul_(1 / _BETA)).clamp_min_(0).mul_(errors.sign())


METHOD = MatrixMethod(
    MethodDeclaration(
        name="hqq",
        summary="Asymmetric 2- to 8-bit weights with optimized zero points, per group; computed in floating point.",
        reference="HQQ (Badri and Shaji 2023, mobiusml.github.io/hqq_blog), the default solver of the package hqq",
        level="bits",
        phrase="rounded to {level} bits by HQQ",
        options={"group_size": Option(64, "Number of input units per scale and zero point; 0 for all.", least=0)},
        forms=(*MATRICES, "lookup"),
        effect="quantizes",
    ),
    transform,
    check=check,
    orientation="outputs_first",
)

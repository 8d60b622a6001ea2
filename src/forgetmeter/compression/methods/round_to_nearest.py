"""Weight-only quantization to 2 to 8 bits by rounding to nearest."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from forgetmeter.compression.forms.rounded_weight import RoundedWeight
from forgetmeter.compression.forms.unusable_weight import refuse_not_finite
from forgetmeter.compression.forms.weight import Weight
from forgetmeter.compression.method import MatrixMethod, Options
from forgetmeter.specs.method import MethodDeclaration, Option, Packing
from forgetmeter.specs.recipe import Level
from forgetmeter.specs.role import MATRICES, Matrix

_SMALLEST_SCALE = torch.finfo(torch.float32).eps
_SHRUNK_TO = [1 - step / 100 for step in range(1, 80)]
"""The clipped ranges that are tried, as fractions of the whole: the grid of GPTQ's quantizer."""
_PIECE = 1 << 18
"""Weights tried at once, so that each copy of them takes only 1 MB."""


def transform(weight: Weight, level: Level | None, options: Options) -> RoundedWeight:
    """Round each weight to the nearest multiple of its group's scale; halves round to the even multiple.

    Symmetric: the zero point is 0, integers range from ``-2**(bits-1)`` to ``2**(bits-1) - 1``, and the scale is the
    group's largest magnitude / ``((2**bits - 1) / 2)``, at least float32's epsilon. The scales are those of
    ``torch.ao.quantization.PerChannelMinMaxObserver`` with ``qscheme=per_channel_symmetric``. Weights are divided by
    them, as in ``compressed-tensors``; torch multiplies by the reciprocal, which rounds a few weights differently. The
    largest positive weight is therefore clipped by half a step.

    With ``clip=mse``, each group's scale is the one with the least squared error among this scale and smaller ones,
    down to 21% of it in steps of 1%. Of equal errors, the larger scale is chosen.

    Args:
        weight: Weights, ``(…, output units, input units)``.

    Raises:
        UnusableWeightError: The weights hold NaN or infinity.
    """
    values = weight.values()
    refuse_not_finite(values, "quantized")
    bits, width = int(level or 0), values.shape[-1]
    groups = values.detach().to(torch.float32).unflatten(-1, (-1, int(options["group_size"]) or width))
    largest = groups.abs().amax(-1, keepdim=True)
    # Divided by a tensor on the same device, since CUDA multiplies by the reciprocal of a Python number; the largest
    # weights lie on the edge between two integers.
    factors = (largest / torch.full_like(largest, (2**bits - 1) / 2)).clamp_min_(_SMALLEST_SCALE)
    if options["clip"] == "mse":
        factors = _with_least_squared_error(groups, factors, bits)
    integers = _rounded(groups, factors, bits).to(torch.int8)
    return RoundedWeight(integers.flatten(-2), factors.squeeze(-1), input_axis=-1, bit_width=bits)


def _rounded(groups: Tensor, factors: Tensor, bits: int) -> Tensor:
    """Return the nearest integers as float32."""
    return (groups / factors).round_().clamp_(-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)


def _with_least_squared_error(groups: Tensor, factors: Tensor, bits: int) -> Tensor:
    """Return the scales, each shrunk as far as lowers the squared error of its group, ``(…, weights of a group)``."""
    rows = max(1, _PIECE // groups.shape[-1])
    best = factors.flatten(0, -2).clone()
    for piece, chosen in zip(groups.flatten(0, -2).split(rows), best.split(rows), strict=True):
        whole, least = chosen.clone(), _squared_error(piece, chosen, bits)
        for fraction in _SHRUNK_TO:
            tried = (whole * fraction).clamp_min_(_SMALLEST_SCALE)
            error = _squared_error(piece, tried, bits)
            is_better = error < least
            chosen[is_better], least[is_better] = tried[is_better], error[is_better]
    return best.view_as(factors)


def _squared_error(groups: Tensor, factors: Tensor, bits: int) -> Tensor:
    differences = _rounded(groups, factors, bits).mul_(factors).sub_(groups)
    # In float64, so that the order of a device's additions decides no comparison.
    return differences.square_().sum(-1, keepdim=True, dtype=torch.float64)


def check(matrices: Sequence[Matrix], _level: Level | None, options: Options) -> Iterator[str]:
    """Report the first matrix whose width is not a multiple of the group size."""
    size = int(options["group_size"])
    bad = next((matrix for matrix in matrices if size and matrix.inputs % size), None)
    if bad is not None:
        yield (
            f"group_size={size} does not divide the {bad.inputs} input units of {bad.parameter}; "
            f"choose a divisor, or 0 for one scale per output unit"
        )


METHOD = MatrixMethod(
    MethodDeclaration(
        name="round_to_nearest",
        summary="Symmetric 2- to 8-bit weights, one scale per output unit or group; computed in floating point.",
        reference="compressed-tensors; scales as in torch.ao.quantization.PerChannelMinMaxObserver, "
        "per_channel_symmetric; clip=mse tries the scales of GPTQ's quantizer (Frantar et al. 2022, 2210.17323)",
        level="bits",
        phrase="rounded to {level} bits",
        options={
            "group_size": Option(0, "Number of input units per scale; 0 for all.", least=0),
            "clip": Option("max", "Scales by largest magnitude or least squared error.", ("max", "mse")),
        },
        forms=(*MATRICES, "lookup"),
        effect="quantizes",
        packs=lambda level, options: Packing(int(level or 0), int(options["group_size"])),
    ),
    transform,
    check=check,
    orientation="outputs_first",
)

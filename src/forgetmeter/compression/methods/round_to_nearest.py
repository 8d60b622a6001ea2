"""Weight-only quantization to 2 to 8 bits by rounding to nearest."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch

from forgetmeter.compression.forms.rounded_weight import RoundedWeight
from forgetmeter.compression.forms.unusable_weight import refuse_not_finite
from forgetmeter.compression.forms.weight import Weight
from forgetmeter.compression.method import MatrixMethod, Options
from forgetmeter.specs.method import MethodDeclaration, Option, Packing
from forgetmeter.specs.recipe import Level
from forgetmeter.specs.role import Matrix

_SMALLEST_SCALE = torch.finfo(torch.float32).eps


def transform(weight: Weight, level: Level | None, options: Options) -> RoundedWeight:
    """Round each weight to the nearest multiple of its group's scale; halves round to the even multiple.

    Symmetric: the zero point is 0, integers range from ``-2**(bits-1)`` to ``2**(bits-1) - 1``, and the scale is the
    group's largest magnitude / ``((2**bits - 1) / 2)``, at least float32's epsilon. The scales are those of
    ``torch.ao.quantization.PerChannelMinMaxObserver`` with ``qscheme=per_channel_symmetric``. Weights are divided by
    them, as in ``compressed-tensors``; torch multiplies by the reciprocal, which rounds a few weights differently. The
    largest positive weight is therefore clipped by half a step.

    Args:
        weight: Weights, ``(…, output units, input units)``.

    Raises:
        UnusableWeightError: The weights hold NaN or infinity.
    """
    values = weight.values()
    refuse_not_finite(values, "quantized")
    bits, width = int(level or 0), values.shape[-1]
    groups = values.to(torch.float32).unflatten(-1, (-1, int(options["group_size"]) or width))
    largest = groups.abs().amax(-1, keepdim=True)
    # Divided by a tensor on the same device, since CUDA multiplies by the reciprocal of a Python number; the largest
    # weights lie on the edge between two integers.
    factors = (largest / torch.full_like(largest, (2**bits - 1) / 2)).clamp_min_(_SMALLEST_SCALE)
    integers = (groups / factors).round_().clamp_(-(2 ** (bits - 1)), 2 ** (bits - 1) - 1).to(torch.int8)
    return RoundedWeight(integers.flatten(-2), factors.squeeze(-1), input_axis=-1, bit_width=bits)


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
        "per_channel_symmetric",
        level="bits",
        phrase="rounded to {level} bits",
        options={"group_size": Option(0, "Number of input units per scale; 0 for all.", least=0)},
        effect="quantizes",
        packs=lambda level, options: Packing(int(level or 0), int(options["group_size"])),
    ),
    transform,
    check=check,
    orientation="outputs_first",
)

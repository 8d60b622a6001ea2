"""AWQ: rounding to nearest, after input units with large inputs were scaled up."""

from __future__ import annotations

import torch
from torch import Tensor

from forgetmeter.compression.calibrated.input_moments import InputMoments
from forgetmeter.compression.forms.input_scaled_weight import InputScaledWeight
from forgetmeter.compression.forms.rounded_weight import RoundedWeight
from forgetmeter.compression.forms.weight import DenseWeight
from forgetmeter.compression.method import CalibratedMethod, Options
from forgetmeter.compression.methods import round_to_nearest
from forgetmeter.specs.method import MethodDeclaration, Option
from forgetmeter.specs.recipe import Level

_SMALLEST_SCALE = 1e-4
_CLIPS = 10
_MOST_CLIPPED = 0.5


def compress(weight: Tensor, inputs: InputMoments, level: Level | None, options: Options) -> InputScaledWeight:
    """Round weights times the scales, one per input unit, with the smallest error of the layer's outputs.

    The scales are the mean magnitudes of the inputs to a power, of which ``grid`` are tried, from 0 to below 1. If
    ``clip`` is set, each group of the scaled weights is then clipped to the share of its largest magnitude, from 1 to
    0.55, with the smallest error of the group's contribution to the outputs. An input unit that is always zero counts
    as the least of the others, so that its weights are not lost.

    Args:
        weight: float32, ``(output units, input units)``.
        inputs: Inputs of the layer, with products.
        level: Bits.
        options: ``group_size``, ``grid`` and ``clip``.

    Raises:
        UnusableWeightError: The weights hold NaN or infinity.
    """
    products, grid = inputs.products, int(options["grid"])
    assert products is not None
    magnitudes = inputs.magnitudes / max(1, inputs.positions)
    used = magnitudes > 0
    magnitudes = torch.where(used, magnitudes, magnitudes[used].min() if used.any() else 1)

    def error(tried: InputScaledWeight) -> float:
        return float(_errors(tried.values() - weight, products, weight.shape[1]).sum())

    tries = (_at(weight, _scales(magnitudes, number / grid), level, options) for number in range(grid))
    best = min(tries, key=error)
    if not options["clip"]:
        return best
    scales = best.input_scales
    return InputScaledWeight(_clipped(weight * scales, products / (scales * scales.t()), level, options), scales)


def _at(weight: Tensor, scales: Tensor, level: Level | None, options: Options) -> InputScaledWeight:
    return InputScaledWeight(round_to_nearest.transform(DenseWeight(weight * scales), level, options), scales)


def _scales(magnitudes: Tensor, ratio: float) -> Tensor:
    """Return scales, ``(1, input units)``, whose largest and smallest have the product 1."""
    scales = magnitudes.pow(ratio).clamp_min(_SMALLEST_SCALE)
    return (scales / (scales.max() * scales.min()).sqrt())[None]


def _errors(change: Tensor, products: Tensor, size: int) -> Tensor:
    """Return the squared error of outputs, summed over inputs, due to the change of each group of weights alone.

    Args:
        change: ``(output units, input units)``.
        products: The sum of products of inputs.
        size: Input units per group.

    Returns:
        Shape ``(output units, groups)``.
    """
    groups = change.unflatten(-1, (-1, size))
    blocks = torch.stack([products[at : at + size, at : at + size] for at in range(0, len(products), size)])
    return (torch.einsum("ogi,gij->ogj", groups, blocks) * groups).sum(-1)


def _clipped(scaled: Tensor, products: Tensor, level: Level | None, options: Options) -> RoundedWeight:
    """Round weights after clipping each group where that makes its error smaller."""
    size = int(options["group_size"]) or scaled.shape[1]
    groups = scaled.unflatten(-1, (-1, size))
    largest = groups.abs().amax(-1)

    def rounded(limits: Tensor) -> RoundedWeight:
        clamped = groups.clamp(-limits[..., None], limits[..., None]).flatten(-2)
        return round_to_nearest.transform(DenseWeight(clamped), level, options)

    best, least = largest, torch.full_like(largest, torch.inf)
    for number in range(_CLIPS):
        limits = largest * (1 - _MOST_CLIPPED * number / _CLIPS)
        errors = _errors(rounded(limits).values() - scaled, products, size)
        best, least = torch.where(errors < least, limits, best), torch.minimum(errors, least)
    return rounded(best)


METHOD = CalibratedMethod(
    MethodDeclaration(
        name="awq",
        summary="Rounds weights to 2 to 8 bits after scaling up the input units with large inputs.",
        reference="AWQ (Lin et al. 2023, 2306.00978)",
        level="bits",
        forms=("linear", "conv1d"),
        phrase="rounded to {level} bits by AWQ",
        options={
            "group_size": Option(0, "Number of input units per scale; 0 for all.", least=0),
            "grid": Option(20, "Number of exponents to try; scales are input magnitudes raised to them.", least=1),
            "clip": Option(True, "Whether to clip each group of weights where that reduces its error."),
        },
        effect="quantizes",
    ),
    compress,
    has_products=True,
    check=round_to_nearest.check,
)

"""SmoothQuant: dynamic 8-bit quantization, after scaling large inputs down and their weights up."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import cast

import torch
from torch import Tensor

from forgetmeter.compression.calibrated.input_moments import InputMoments
from forgetmeter.compression.forms.input_scaled_weight import InputScaledWeight
from forgetmeter.compression.forms.int8_weight import GRANULARITIES, Granularity, quantize
from forgetmeter.compression.method import CalibratedMethod, Options
from forgetmeter.specs.method import MethodDeclaration, Option
from forgetmeter.specs.recipe import Level
from forgetmeter.specs.role import Matrix

_SMALLEST = 1e-5


def compress(
    weight: Tensor,
    inputs: InputMoments,
    level: Level | None,  # noqa: ARG001
    options: Options,
) -> InputScaledWeight:
    """Divide each input unit by ``largest input**alpha / largest weight**(1 - alpha)``, and quantize as dynamic_int8.

    Input units that are always zero are not scaled, since other texts may use them.

    Args:
        weight: float32, ``(output units, input units)``.
        inputs: Inputs of the layer.
        level: ``None``.
        options: ``alpha`` and ``granularity``.

    Raises:
        UnusableWeightError: The weights hold NaN or infinity.
    """
    alpha = float(options["alpha"])
    weights = weight.abs().amax(0).clamp_min(_SMALLEST)
    scales = (inputs.largest.pow(alpha) / weights.pow(1 - alpha)).clamp_min(_SMALLEST)
    scales = torch.where(inputs.largest > 0, scales, 1)[None]
    return InputScaledWeight(quantize(weight * scales, cast(Granularity, options["granularity"])), scales)


def check(matrices: Sequence[Matrix], level: Level | None, options: Options) -> Iterator[str]:  # noqa: ARG001
    """Refuse an alpha above 1."""
    if float(options["alpha"]) > 1:
        yield f"alpha={float(options['alpha']):g} is not a share; choose a number from 0 to 1"


METHOD = CalibratedMethod(
    MethodDeclaration(
        name="smoothquant",
        summary="8-bit weights and 7-bit activations, after scaling large inputs down and their weights up.",
        reference="SmoothQuant (Xiao et al. 2022, 2211.10438), quantized as dynamic_int8",
        level="none",
        forms=("linear", "conv1d"),
        phrase="8-bit by SmoothQuant",
        options={
            "alpha": Option(0.5, "Share of the inputs' range that moves to the weights, from 0 to 1.", least=0),
            "granularity": Option("per_tensor", "One weight scale per matrix, or per output unit.", GRANULARITIES),
        },
        effect="quantizes",
        needs_kernel=True,
        rounds_activations=True,
        revision=2,
    ),
    compress,
    check=check,
)

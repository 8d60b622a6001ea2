"""Dynamic 8-bit quantization of linear layers.

Matches ``torch.ao.quantization.quantize_dynamic`` in its default configuration: 8-bit integer weights with one
symmetric scale per matrix, and activations quantized to 7 bits on each call, with one scale and zero point per tensor.
With ``per_channel_dynamic_qconfig``, weights have one scale per output unit.

Activations are scaled by the range of the *whole* input of a call, so the rest of the batch, including padding,
slightly changes an item's result. The same holds for torch's own ``linear_dynamic``.
"""

from __future__ import annotations

from typing import cast

from forgetmeter.compression.forms.int8_weight import GRANULARITIES, Granularity, Int8Weight, quantize
from forgetmeter.compression.forms.weight import Weight
from forgetmeter.compression.method import MatrixMethod, Options
from forgetmeter.specs.method import MethodDeclaration, Option
from forgetmeter.specs.recipe import Level


def transform(weight: Weight, level: Level | None, options: Options) -> Int8Weight:  # noqa: ARG001
    """Quantize one matrix, ``(output units, input units)``."""
    return quantize(weight.values(), cast(Granularity, options["granularity"]))


METHOD = MatrixMethod(
    MethodDeclaration(
        name="dynamic_int8",
        summary="8-bit weights and 7-bit activations, scaled on each call by one scale for the whole input.",
        reference="torch.ao.quantization.quantize_dynamic, default and per_channel_dynamic_qconfig",
        level="none",
        phrase="8-bit",
        options={
            "granularity": Option("per_tensor", "One weight scale per matrix, or per output unit.", GRANULARITIES)
        },
        forms=("linear", "conv1d"),
        effect="quantizes",
        needs_kernel=True,
    ),
    transform,
    orientation="outputs_first",
)

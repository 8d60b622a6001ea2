"""Dynamic 8-bit quantization of linear layers.

Computes what ``torch.ao.quantization.quantize_dynamic`` computes with its default configuration: weights as
8-bit integers with one symmetric scale a matrix, activations quantized to 7 bits on each call, with one scale
and zero point for the whole tensor; or, with ``per_channel_dynamic_qconfig``, a scale of the weights for each
output unit.

The range of the activations is that of the *whole* input of a call: what else is in a batch, padding
included, changes an item's result slightly, with torch's own ``linear_dynamic`` as with this module.
"""

from __future__ import annotations

from typing import cast

from forgetmeter.compression.forms.int8_weight import GRANULARITIES, Granularity, Int8Weight, quantize
from forgetmeter.compression.forms.weight import Weight
from forgetmeter.compression.method import MatrixMethod, Options
from forgetmeter.specs.method import MethodDeclaration, Option
from forgetmeter.specs.recipe import Level


def transform(weight: Weight, level: Level | None, options: Options) -> Int8Weight:  # noqa: ARG001
    """Quantize one matrix, ``(output units, input units)``; there is no level."""
    return quantize(weight.values(), cast(Granularity, options["granularity"]))


METHOD = MatrixMethod(
    MethodDeclaration(
        name="dynamic_int8",
        summary="8-bit weights and, computed on each call, 7-bit activations with one scale for a whole input.",
        reference="torch.ao.quantization.quantize_dynamic, default and per_channel_dynamic_qconfig",
        level="none",
        phrase="8-bit",
        unsaid=("granularity",),
        options={
            "granularity": Option(
                "per_tensor", "Whether the weights have one scale a matrix, or one for each output unit.", GRANULARITIES
            )
        },
        forms=("linear", "conv1d"),
        effect="quantizes",
        needs_kernel=True,
    ),
    transform,
    orientation="outputs_first",
)

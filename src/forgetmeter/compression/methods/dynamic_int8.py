"""Dynamic 8-bit quantization of linear layers, and of experts.

Matches ``torch.ao.quantization.quantize_dynamic`` in its default configuration: 8-bit integer weights with one
symmetric scale per matrix, and activations quantized to 7 bits on each call, with one scale and zero point per tensor.
With ``per_channel_dynamic_qconfig``, weights have one scale per output unit. An expert of a tensor of experts is
quantized as a linear layer with its weights; torch leaves such tensors alone.

Activations are scaled by the range of the whole input of a call. The engine reads texts so that this is the range of a
single text (docs/decisions/005-dynamic-int8-ranges.md); torch's own layers take that of a batch, padding included.
"""

from __future__ import annotations

from typing import cast

from forgetmeter.compression.forms.int8_weight import GRANULARITIES, Granularity, Int8Weight, quantize
from forgetmeter.compression.forms.weight import Weight
from forgetmeter.compression.method import MatrixMethod, Options
from forgetmeter.specs.method import MethodDeclaration, Option
from forgetmeter.specs.recipe import Level


def transform(weight: Weight, level: Level | None, options: Options) -> Int8Weight:  # noqa: ARG001
    """Quantize one matrix, ``(output units, input units)``, or each expert's."""
    return quantize(weight.values(), cast(Granularity, options["granularity"]))


METHOD = MatrixMethod(
    MethodDeclaration(
        name="dynamic_int8",
        summary="8-bit weights and 7-bit activations, scaled by the range of each text.",
        reference="torch.ao.quantization.quantize_dynamic, default and per_channel_dynamic_qconfig",
        level="none",
        phrase="8-bit",
        options={
            "granularity": Option("per_tensor", "One weight scale per matrix, or per output unit.", GRANULARITIES)
        },
        effect="quantizes",
        needs_kernel=True,
        rounds_activations=True,
        revision=3,
    ),
    transform,
    orientation="outputs_first",
)

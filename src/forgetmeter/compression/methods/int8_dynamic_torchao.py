"""torchao's dynamic 8-bit quantization."""

from __future__ import annotations

from forgetmeter.compression.forms.torchao_weight import TorchaoWeight
from forgetmeter.compression.forms.weight import Weight
from forgetmeter.compression.method import Options
from forgetmeter.compression.methods.torchao_method import TorchaoMethod, quantized_by_torchao
from forgetmeter.specs.method import MethodDeclaration
from forgetmeter.specs.recipe import Level


def transform(weight: Weight, _level: Level | None, _options: Options) -> TorchaoWeight:
    """Quantize a layer's weights, ``(output units, input units)``, by ``Int8DynamicActivationInt8WeightConfig()``.

    Weights and activations are symmetric, with one scale per output unit and, on each call, one per position.
    """
    from torchao.quantization import Int8DynamicActivationInt8WeightConfig

    quantized = quantized_by_torchao(weight, lambda: Int8DynamicActivationInt8WeightConfig(set_inductor_config=False))
    return TorchaoWeight(quantized, bit_width=8, scale_count=quantized.shape[0])


METHOD = TorchaoMethod(
    MethodDeclaration(
        name="int8_dynamic_torchao",
        summary="8-bit weights, a scale per output unit; 8-bit activations, a scale per position; torchao's kernels.",
        reference="torchao.quantization.Int8DynamicActivationInt8WeightConfig (torchao 0.18)",
        level="none",
        phrase="8-bit by torchao",
        forms=("linear",),
        effect="quantizes",
        needs_kernel=True,
        rounds_activations=True,
        revision=2,
    ),
    transform,
)

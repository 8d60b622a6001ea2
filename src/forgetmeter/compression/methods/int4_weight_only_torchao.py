"""torchao's 4-bit weight-only quantization."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from importlib.util import find_spec

from forgetmeter.compression.forms.torchao_weight import TorchaoWeight
from forgetmeter.compression.forms.weight import Weight
from forgetmeter.compression.method import Options
from forgetmeter.compression.methods.torchao_method import TorchaoMethod, quantized_by_torchao
from forgetmeter.specs.method import MethodDeclaration, Option
from forgetmeter.specs.recipe import Level
from forgetmeter.specs.role import Matrix

_KERNEL = "torchao.prototype.quantization.int4"
_ROWS = 16
"""The CPU kernel needs a multiple of this number of output units."""


def transform(weight: Weight, _level: Level | None, options: Options) -> TorchaoWeight:
    """Quantize a layer's weights, ``(output units, input units)``, for torchao's 4-bit CPU kernel.

    Asymmetric: each group of input units has a scale and a zero point. torchao's ``Int4WeightOnlyConfig`` has kernels
    for CUDA and XPU only; the CPU kernel is one of its prototypes.
    """
    from torchao.prototype.quantization.int4 import PrototypeInt4WeightOnlyConfig

    size = int(options["group_size"])
    quantized = quantized_by_torchao(
        weight, lambda: PrototypeInt4WeightOnlyConfig(group_size=size, set_inductor_config=False)
    )
    # One scale and one zero point per group, in the dtype of the weights.
    extra = quantized.numel() // size * 2 * weight.values().element_size()
    return TorchaoWeight(quantized, bit_width=4, scale_count=extra // 4)


def check(matrices: Sequence[Matrix], _level: Level | None, options: Options) -> Iterator[str]:
    """Report a kernel missing from the installed torchao, or the first layer that does not fit it."""
    size = int(options["group_size"])
    if find_spec("torchao") is not None and find_spec(_KERNEL) is None:
        yield (
            f"int4_weight_only_torchao needs {_KERNEL}, which is missing from the installed torchao; "
            "install torchao 0.18"
        )
    for matrix in matrices:
        outputs, inputs = matrix.shape
        if inputs % size or outputs % _ROWS:
            yield (
                f"int4_weight_only_torchao needs input units in multiples of {size} (group_size) and output units in "
                f"multiples of {_ROWS}, and {matrix.parameter} has {inputs} and {outputs}; "
                "choose another group_size or a scope without it"
            )
            return


METHOD = TorchaoMethod(
    MethodDeclaration(
        name="int4_weight_only_torchao",
        summary="4-bit weights with a scale and a zero point per group of input units; torchao's CPU kernel.",
        reference="torchao.prototype.quantization.int4.PrototypeInt4WeightOnlyConfig (torchao 0.18)",
        level="none",
        phrase="4-bit by torchao",
        options={"group_size": Option(32, "Number of input units per scale.", (32, 64, 128))},
        forms=("linear",),
        effect="quantizes",
        needs_kernel=True,
    ),
    transform,
    check=check,
)

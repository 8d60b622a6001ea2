"""torchao's 4-bit weights."""

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
"""The kernel for CPUs takes output units by so many."""


def transform(weight: Weight, _level: Level | None, options: Options) -> TorchaoWeight:
    """Quantize one layer as torchao does for its 4-bit kernel on CPUs; activations stay as they are.

    Asymmetric: each group of input units has a scale and a zero point. torchao's own
    ``Int4WeightOnlyConfig`` has kernels for CUDA and XPU alone; that for CPUs is among its prototypes.

    Args:
        weight: The weights, ``(output units, input units)``.
        options: ``group_size``: how many input units share a scale.
    """
    from torchao.prototype.quantization.int4 import PrototypeInt4WeightOnlyConfig

    size = int(options["group_size"])
    quantized = quantized_by_torchao(
        weight, lambda: PrototypeInt4WeightOnlyConfig(group_size=size, set_inductor_config=False)
    )
    # A scale and a zero point a group, in the dtype of the weights.
    extra = quantized.numel() // size * 2 * weight.values().element_size()
    return TorchaoWeight(quantized, bit_width=4, scale_count=extra // 4)


def check(matrices: Sequence[Matrix], _level: Level | None, options: Options) -> Iterator[str]:
    """Say that this torchao has no such kernel, or which layer does not fit it."""
    size = int(options["group_size"])
    if find_spec("torchao") is not None and find_spec(_KERNEL) is None:
        yield f"int4_weight_only_torchao needs {_KERNEL}, which this torchao has not; install torchao 0.18"
    for matrix in matrices:
        outputs, inputs = matrix.shape
        if inputs % size or outputs % _ROWS:
            yield (
                f"int4_weight_only_torchao takes input units by {size} (group_size) and output units by {_ROWS}, and "
                f"{matrix.parameter} has {inputs} and {outputs}; choose another group_size or a scope without it"
            )
            return


METHOD = TorchaoMethod(
    MethodDeclaration(
        name="int4_weight_only_torchao",
        summary="4-bit weights, a scale and a zero point a group of input units; torchao's kernel for CPUs.",
        reference="torchao.prototype.quantization.int4.PrototypeInt4WeightOnlyConfig (torchao 0.18)",
        level="none",
        options={"group_size": Option(32, "How many input units share a scale.", (32, 64, 128))},
        forms=("linear",),
        effect="quantizes",
        needs_kernel=True,
    ),
    transform,
    check=check,
)

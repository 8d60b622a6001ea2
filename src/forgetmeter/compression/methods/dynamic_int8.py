"""Dynamic 8-bit quantization of linear layers.

Computes what ``torch.ao.quantization.quantize_dynamic`` computes with its default configuration: weights as
8-bit integers with one symmetric scale a matrix, activations quantized to 7 bits on each call, with one scale
and zero point for the whole tensor; or, with ``per_channel_dynamic_qconfig``, a scale of the weights for each
output unit. That API and the quantized tensors under it are deprecated; all that this
package needs of them is in this file, and where they are missing the same arithmetic is simulated.

The range of the activations is that of the *whole* input of a call: what else is in a batch, padding
included, changes an item's result slightly, with torch's own ``linear_dynamic`` as with this module.
"""

from __future__ import annotations

import warnings
from typing import Literal, cast

import numpy as np
import torch
from torch import Tensor, nn

from forgetmeter.compression.forms.int8_weight import GRANULARITIES, Granularity, Int8Weight, quantize
from forgetmeter.compression.forms.weight import Weight
from forgetmeter.compression.method import MatrixMethod, Options
from forgetmeter.specs.method import MethodDeclaration, Option
from forgetmeter.specs.recipe import Level

Arithmetic = Literal["kernel", "simulated"]

_ACTIVATION_LARGEST = 127
# As in QuantUtils.h: scales below are avoided, for the sake of float16 hardware.
_SMALLEST_ACTIVATION_SCALE = float(np.float32(6.1e-5))


def kernel_available(device: torch.device) -> bool:
    """Whether torch has dynamic int8 kernels for the device; they exist for CPUs alone."""
    if device.type != "cpu" or torch.backends.quantized.engine == "none":
        return False
    has_operators = hasattr(torch.ops.quantized, "linear_dynamic")
    return has_operators and hasattr(torch, "_make_per_tensor_quantized_tensor")


class DynamicInt8Linear(nn.Module):  # type: ignore[misc] # torch is not followed by mypy
    """A linear layer on 8-bit weights, in the place of an ``nn.Linear``.

    Takes float32 inputs as the kernel does; other floating-point dtypes are cast to float32 and the result
    back. Where the device has no kernel, the same arithmetic is done in float32. That path is compared with
    the kernel on CPUs; on GPUs it is untried.

    Attributes:
        weight: The integers, int8, shape ``(output units, input units)``.
        factors: The weights' scales, float32, shape ``(1,)`` or ``(output units,)``.
        bias: float32, shape ``(output units,)``, or ``None``.
    """

    def __init__(self, weight: Int8Weight, bias: Tensor | None, *, arithmetic: Arithmetic | None = None) -> None:
        """Make the layer.

        Args:
            weight: The quantized weights; not copied.
            bias: The bias of the layer that is replaced, if it has one.
            arithmetic: ``kernel`` or ``simulated``; by default the kernel where there is one.
        """
        super().__init__()
        self.out_features, self.in_features = weight.integers.shape
        self.register_buffer("weight", weight.integers)
        self.register_buffer("factors", weight.factors.flatten())
        self.register_buffer("bias", None if bias is None else bias.detach().to(torch.float32))
        if arithmetic is None:
            arithmetic = "kernel" if kernel_available(weight.integers.device) else "simulated"
        self.arithmetic: Arithmetic = arithmetic
        self._packed = _pack(weight, self.bias) if arithmetic == "kernel" else None

    @property
    def simulated(self) -> bool:
        """Whether it computes without the kernel, be it asked to or because the device has none."""
        return self._packed is None or self.weight.device.type != "cpu"

    def forward(self, inputs: Tensor) -> Tensor:
        """Apply the layer to ``(..., input units)``; returns ``(..., output units)`` in the input's dtype."""
        activations = inputs.to(torch.float32)
        if self.simulated:
            outputs = _simulated_linear(activations, self.weight, self.factors, self.bias)
        else:
            outputs = torch.ops.quantized.linear_dynamic(activations, self._packed, reduce_range=True)
        return outputs.to(inputs.dtype)

    def extra_repr(self) -> str:
        """Describe the layer as torch prints modules."""
        shape = f"in_features={self.in_features}, out_features={self.out_features}"
        return f"{shape}, bias={self.bias is not None}, simulated={self.simulated}"


def _pack(weight: Int8Weight, bias: Tensor | None) -> object:
    with warnings.catch_warnings():
        # Quantized tensors are deprecated as a whole; here one lives only until the kernel has packed it.
        warnings.filterwarnings("ignore", message=r"(?s).*torch\.qint8.*deprecated")
        factors = weight.factors.flatten().double()
        if len(factors) == 1:
            quantized = torch._make_per_tensor_quantized_tensor(weight.integers, float(factors), 0)
        else:
            zero_points = torch.zeros(len(factors), dtype=torch.int64)
            quantized = torch._make_per_channel_quantized_tensor(weight.integers, factors, zero_points, 0)
        return torch.ops.quantized.linear_prepack(quantized, bias)


def _simulated_linear(activations: Tensor, integers: Tensor, factors: Tensor, bias: Tensor | None) -> Tensor:
    """Do in float32 what ``quantized::linear_dynamic(reduce_range=True)`` does in integers."""
    activation_scale, zero_point = _activation_parameters(activations)
    steps = (activations * float(np.float32(1) / np.float32(activation_scale))).round_() + zero_point
    centred = steps.clamp_(0, 255) - zero_point
    products = factors * float(np.float32(activation_scale))
    outputs = nn.functional.linear(centred, integers.to(torch.float32)) * products
    return outputs if bias is None else outputs + bias


def _activation_parameters(activations: Tensor) -> tuple[float, int]:
    """Return scale and zero point as ``ChooseQuantizationParams`` of ATen's QuantUtils.h does.

    The range always includes 0; integers go from 0 to 127, so that the kernel's 16-bit sums cannot overflow.
    """
    smallest, largest = 0.0, 0.0
    if activations.numel():
        low, high = torch.aminmax(activations)
        smallest, largest = min(float(low), 0.0), max(float(high), 0.0)
    scale = (largest - smallest) / _ACTIVATION_LARGEST
    # The reciprocal would not be finite in float32.
    if scale < 1 / float(np.finfo(np.float32).max):
        scale = 0.1
    if scale < _SMALLEST_ACTIVATION_SCALE:
        smallest, largest = _widened(smallest, largest, scale)
        scale = _SMALLEST_ACTIVATION_SCALE
    from_smallest = -smallest / scale
    from_largest = _ACTIVATION_LARGEST - largest / scale
    # The kernel starts from the end of the range whose terms are smaller.
    starts_low = -abs(smallest / scale) < _ACTIVATION_LARGEST - abs(largest / scale)
    zero_point = round(from_smallest if starts_low else from_largest)
    return scale, min(max(zero_point, 0), _ACTIVATION_LARGEST)


def _widened(smallest: float, largest: float, scale: float) -> tuple[float, float]:
    """Return the range that the smallest scale allowed gives to one that is too narrow."""
    width = _SMALLEST_ACTIVATION_SCALE * _ACTIVATION_LARGEST
    if smallest == 0:
        return 0.0, width
    if largest == 0:
        return -width, 0.0
    factor = _SMALLEST_ACTIVATION_SCALE / scale
    return smallest * factor, largest * factor


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

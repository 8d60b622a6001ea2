"""Dynamic 8-bit quantization of linear layers.

Computes what ``torch.ao.quantization.quantize_dynamic`` computes with its default configuration: weights as
8-bit integers with one symmetric scale a matrix, activations quantized to 7 bits on each call, with one scale
and zero point for the whole tensor. That API and the quantized tensors under it are deprecated; all that this
package needs of them is in this file, and where they are missing the same arithmetic is simulated.

The range of the activations is that of the *whole* input of a call: what else is in a batch, padding
included, changes an item's result slightly, with torch's own ``linear_dynamic`` as with this module.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn

from forgetmeter.compression.method import MatrixMethod, Options
from forgetmeter.compression.unusable_weight import UnusableWeightError
from forgetmeter.compression.weight import PartWeight, Weight, assembled, cut
from forgetmeter.specs.method import MethodDeclaration
from forgetmeter.specs.ranges import Ranges
from forgetmeter.specs.recipe import Level

Arithmetic = Literal["kernel", "simulated"]

_HALF_RANGE = 127.5
_SMALLEST_SCALE = torch.finfo(torch.float32).eps
_ACTIVATION_LARGEST = 127
# As in QuantUtils.h: scales below are avoided, for the sake of float16 hardware.
_SMALLEST_ACTIVATION_SCALE = float(np.float32(6.1e-5))


@dataclass(frozen=True)
class Int8Weight:
    """Weights as integers times one scale; the zero point is 0.

    Attributes:
        integers: int8, shape ``(output units, input units)``.
        scale: What one step of the integers is worth; a float32 number.
    """

    integers: Tensor
    scale: float

    @property
    def shape(self) -> tuple[int, ...]:
        """The integers' shape."""
        return tuple(self.integers.shape)

    def values(self) -> Tensor:
        """Return the weights as float32."""
        return self.integers.to(torch.float32) * self.scale

    def masked(self, keep: Tensor) -> Int8Weight:
        """Return the same integers and scale, with zeros where ``keep`` is false."""
        return Int8Weight(self.integers * keep, self.scale)

    def bits(self) -> int:
        """Return 8."""
        return 8

    def scales(self) -> int:
        """Return 1: the matrix has one scale."""
        return 1

    def part(self, axis: int, ranges: Ranges) -> Int8Weight:
        """Return some of the integers, with the same scale."""
        return Int8Weight(cut(self.integers, axis, ranges), self.scale)

    def joins(self, other: Weight) -> bool:
        """Whether the other has the same scale."""
        return isinstance(other, Int8Weight) and other.scale == self.scale

    def together(self, axis: int, parts: Sequence[tuple[Ranges, Weight]]) -> Int8Weight:
        """Return all the integers, with the one scale."""
        integers = [(ranges, _integers(part)) for ranges, part in parts]
        return Int8Weight(assembled(axis, integers), self.scale)

    def transposed(self) -> Int8Weight:
        """Return the integers of ``Conv1D``, which holds input units first, as a linear layer holds them."""
        return Int8Weight(self.integers.t().contiguous(), self.scale)


def _integers(weight: Weight) -> Tensor:
    bare = weight.taken_out() if isinstance(weight, PartWeight) else weight
    assert isinstance(bare, Int8Weight)
    return bare.integers


def quantize_weight(weight: Weight) -> Int8Weight:
    """Quantize as ``MinMaxObserver(dtype=qint8, qscheme=per_tensor_symmetric)`` has torch do it.

    The scale is the largest magnitude / 127.5, at least float32's epsilon. Weights that are quantized already
    are returned as they are.

    Raises:
        UnusableWeightError: The weights hold NaN or infinity.
    """
    if isinstance(weight, Int8Weight):
        return weight
    values = weight.values().detach().to(torch.float32)
    smallest, largest = torch.aminmax(values)
    magnitude = torch.maximum(-smallest, largest)
    if not magnitude.isfinite():
        raise UnusableWeightError("holds NaN or infinity and cannot be quantized; load a sound checkpoint")
    scale = (magnitude / _HALF_RANGE).clamp_min(_SMALLEST_SCALE)
    # torch multiplies by the reciprocal: dividing would round a few weights otherwise.
    integers = (values * scale.reciprocal()).round_().clamp_(-128, 127).to(torch.int8)
    return Int8Weight(integers, float(scale))


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
        scale: The weights' scale.
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
        self.scale = weight.scale
        self.register_buffer("weight", weight.integers)
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
            outputs = _simulated_linear(activations, self.weight, self.scale, self.bias)
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
        quantized = torch._make_per_tensor_quantized_tensor(weight.integers, weight.scale, 0)
        return torch.ops.quantized.linear_prepack(quantized, bias)


def _simulated_linear(activations: Tensor, integers: Tensor, scale: float, bias: Tensor | None) -> Tensor:
    """Do in float32 what ``quantized::linear_dynamic(reduce_range=True)`` does in integers."""
    activation_scale, zero_point = _activation_parameters(activations)
    steps = (activations * float(np.float32(1) / np.float32(activation_scale))).round_() + zero_point
    centred = steps.clamp_(0, 255) - zero_point
    product = float(np.float32(activation_scale) * np.float32(scale))
    outputs = nn.functional.linear(centred, integers.to(torch.float32)) * product
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
    """Quantize one matrix; there is neither a level nor an option."""
    return quantize_weight(weight)


METHOD = MatrixMethod(
    MethodDeclaration(
        name="dynamic_int8",
        summary="8-bit weights and, computed on each call, 7-bit activations; one scale a matrix.",
        reference="torch.ao.quantization.quantize_dynamic with its default configuration",
        level="none",
        forms=("linear", "conv1d"),
        effect="quantizes",
        needs_kernel=True,
    ),
    transform,
)

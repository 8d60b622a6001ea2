"""8-bit integer weights, quantized as by torch's observers, and the layer that computes with them.

torch's dynamic quantization and quantized tensors are deprecated. All uses of them are in this file, and if they are
missing the same arithmetic is simulated.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
import torch
from torch import Tensor, nn

from forgetmeter.compression.forms.scaled_integers import ScaledIntegers
from forgetmeter.compression.forms.unusable_weight import UnusableWeightError
from forgetmeter.compression.forms.weight import Weight

Granularity = Literal["per_tensor", "per_channel"]
GRANULARITIES: tuple[Granularity, ...] = get_args(Granularity)

Arithmetic = Literal["kernel", "simulated"]

_HALF_RANGE = 127.5
_ACTIVATION_LARGEST = 127
# As in QuantUtils.h, which avoids smaller scales for float16 hardware.
_SMALLEST_ACTIVATION_SCALE = float(np.float32(6.1e-5))
_SMALLEST_SCALE = torch.finfo(torch.float32).eps


@dataclass(frozen=True)
class Int8Weight(ScaledIntegers):
    """8-bit weights with one scale per matrix, or one per output unit."""

    @property
    def has_layer(self) -> bool:
        """True."""
        return True

    @property
    def is_simulated(self) -> bool:
        """Whether the device has no kernel."""
        return not kernel_available(self.integers.device)

    @property
    def has_one_scale(self) -> bool:
        """Whether each matrix has a single scale."""
        return tuple(self.factors.shape[-2:]) == (1, 1)

    def layer(self, bias: Tensor | None, *, is_conv1d: bool) -> nn.Module:
        """Return a layer that also quantizes its activations."""
        return DynamicInt8Linear(self.transposed() if is_conv1d else self, bias)

    def values(self) -> Tensor:
        """Return the weights as float32."""
        return self.integers.to(torch.float32) * self.factors

    def bits(self) -> int:
        """Return 8."""
        return 8

    def can_join(self, other: Weight) -> bool:
        """Whether both have the same single scale, or both have one scale per output unit."""
        if not isinstance(other, Int8Weight):
            return False
        if self.has_one_scale or other.has_one_scale:
            return self.factors.shape == other.factors.shape and bool((self.factors == other.factors).all())
        return self._output_axis() == other._output_axis()

    def expert(self, number: int) -> Int8Weight:
        """Return the integers of one expert with their scales."""
        return Int8Weight(self.integers[number], self.factors[number])

    def _output_axis(self) -> int:
        return -2 if self.factors.shape[-2] > 1 else -1


def quantize(values: Tensor, granularity: Granularity = "per_tensor") -> Int8Weight:
    """Quantize as with ``MinMaxObserver`` or ``PerChannelMinMaxObserver`` (qint8, symmetric) of ``torch.ao``.

    A scale is the largest magnitude / 127.5, at least float32's epsilon.

    Args:
        values: Floating-point, shape ``(…, output units, input units)``; converted to float32. Each expert is a matrix
            of its own.

    Raises:
        UnusableWeightError: The weights hold NaN or infinity.
    """
    values = values.detach().to(torch.float32)
    over = (-1,) if granularity == "per_channel" else (-2, -1)
    magnitudes = torch.maximum(-values.amin(over, keepdim=True), values.amax(over, keepdim=True))
    if not magnitudes.isfinite().all():
        raise UnusableWeightError("holds NaN or infinity and cannot be quantized; use an intact checkpoint")
    # Divided by a tensor on the same device, since CUDA multiplies by the reciprocal of a Python number.
    factors = (magnitudes / torch.full_like(magnitudes, _HALF_RANGE)).clamp_min(_SMALLEST_SCALE)
    # torch multiplies by the reciprocal; dividing would round a few weights differently.
    return Int8Weight((values * factors.reciprocal()).round_().clamp_(-128, 127).to(torch.int8), factors)


def kernel_available(device: torch.device) -> bool:
    """Whether torch has dynamic int8 kernels for the device; they exist for CPUs only."""
    if device.type != "cpu" or torch.backends.quantized.engine == "none":
        return False
    has_operators = hasattr(torch.ops.quantized, "linear_dynamic")
    return has_operators and hasattr(torch, "_make_per_tensor_quantized_tensor")


class DynamicInt8Linear(nn.Module):  # type: ignore[misc] # torch is not followed by mypy
    """A linear layer with 8-bit weights that replaces an ``nn.Linear``.

    The kernel takes float32 inputs; other floating-point dtypes are cast to float32 and the result back. On devices
    without a kernel, the same arithmetic runs in float32. That path is tested against the kernel on CPUs; on GPUs it is
    untested.

    Where an activation is NaN, all outputs of its range are NaN; torch's layer returns numbers.

    Attributes:
        weight: The integers, int8, shape ``(output units, input units)``.
        factors: The weights' scales, float32, shape ``(1,)`` or ``(output units,)``.
        bias: float32, shape ``(output units,)``, or ``None``.
        rows_are_texts: Whether each row of an input ``(rows, ..., input units)`` has a range of its own. By default,
            there is one range for the whole input.
    """

    def __init__(self, weight: Int8Weight, bias: Tensor | None, *, arithmetic: Arithmetic | None = None) -> None:
        """Take weights (not copied) and a bias; by default, ``arithmetic`` is the kernel if it is available."""
        super().__init__()
        self.out_features, self.in_features = weight.integers.shape
        self.register_buffer("weight", weight.integers)
        self.register_buffer("factors", weight.factors.flatten())
        self.register_buffer("bias", None if bias is None else bias.detach().to(torch.float32))
        if arithmetic is None:
            arithmetic = "kernel" if kernel_available(weight.integers.device) else "simulated"
        self.arithmetic: Arithmetic = arithmetic
        self.rows_are_texts = False
        self._packed: object | None = None
        self._row_sums = weight.integers.sum(1, dtype=torch.float32)

    @property
    def simulated(self) -> bool:
        """Whether it computes without the kernel, on request or because the device has no kernel."""
        return self.arithmetic == "simulated" or self.weight.device.type != "cpu"

    def forward(self, inputs: Tensor) -> Tensor:
        """Apply the layer to ``(..., input units)``; returns ``(..., output units)`` in the input's dtype."""
        number = len(inputs) if self.rows_are_texts and inputs.dim() > 2 and len(inputs) else 1
        rows = inputs.detach().to(torch.float32).reshape(number, -1, self.in_features)
        scales, zero_points = _activation_parameters(rows)
        products, factors = self._integer_products(rows, scales, zero_points), self.factors * scales
        outputs = products.mul_(factors) if self.bias is None else torch.addcmul(self.bias, products, factors)
        return outputs.reshape(*inputs.shape[:-1], self.out_features).to(inputs.dtype)

    def extra_repr(self) -> str:
        """Describe the layer as torch prints modules."""
        shape = f"in_features={self.in_features}, out_features={self.out_features}"
        return f"{shape}, bias={self.bias is not None}, simulated={self.simulated}"

    def _integer_products(self, rows: Tensor, scales: Tensor, zero_points: Tensor) -> Tensor:
        """Quantize activations and multiply by the integers of the weight; returns integers as float32."""
        # The kernel multiplies and adds in one operation, whose result is rounded once, as it is from float64 here.
        exact = torch.addcmul(zero_points.double(), rows.double(), scales.reciprocal().double())
        steps = exact.float().round_().clamp_(0, 255)
        # The kernels cannot multiply NaN, nor a number that is rounded up beyond the range.
        if self.simulated or (rows.numel() and not steps.amax() <= _ACTIVATION_LARGEST):
            return nn.functional.linear(steps.sub_(zero_points), self.weight.to(torch.float32))
        products = self._multiply(steps.flatten(0, 1))
        return products.view(*steps.shape[:-1], self.out_features).sub_(zero_points * self._row_sums)

    def _multiply(self, steps: Tensor) -> Tensor:
        """Multiply integers from 0 to 127, float32, shape ``(positions, input units)``, by those of the weight."""
        if torch.cpu._is_vnni_supported():
            # The same sums; without VNNI, it takes 30 times as long as the other kernel.
            return torch._int_mm(steps.to(torch.int8), self.weight.t()).to(torch.float32)
        if self._packed is None:
            self._packed = _pack(self.weight)
        # The additional position has the largest range, in which this kernel leaves integers as they are.
        steps = nn.functional.pad(steps, (0, 0, 0, 1))
        steps[-1, 0] = _ACTIVATION_LARGEST
        return torch.ops.quantized.linear_dynamic(steps, self._packed, reduce_range=True)[:-1]


def _pack(integers: Tensor) -> object:
    """Return integers as the kernel wants them, with scales of 1."""
    with warnings.catch_warnings():
        # Quantized tensors are deprecated; this one lives only until the kernel has packed it.
        warnings.filterwarnings("ignore", message=r"(?s).*torch\.qint8.*deprecated")
        quantized = torch._make_per_tensor_quantized_tensor(integers, 1.0, 0)
        return torch.ops.quantized.linear_prepack(quantized, None)


def _activation_parameters(rows: Tensor) -> tuple[Tensor, Tensor]:
    """Return scales and zero points, as ``ChooseQuantizationParams`` of ATen's QuantUtils.h does.

    The range always includes 0. Integers range from 0 to 127, so that the kernel's 16-bit sums cannot overflow.

    Args:
        rows: float32, shape ``(rows, positions, units)``.

    Returns:
        Two float32 tensors of shape ``(rows, 1, 1)``.
    """
    if not rows.numel():
        return rows.new_ones(len(rows), 1, 1), rows.new_zeros(len(rows), 1, 1)
    low, high = rows.amin((1, 2)), rows.amax((1, 2))
    low, high = low.double().clamp_max_(0), high.double().clamp_min_(0)
    scales = (high - low) / _ACTIVATION_LARGEST
    # Their reciprocals would not be finite in float32.
    scales = torch.where(scales < 1 / float(np.finfo(np.float32).max), 0.1, scales)
    low, high = _widened(low, high, scales)
    scales = torch.where(scales < _SMALLEST_ACTIVATION_SCALE, _SMALLEST_ACTIVATION_SCALE, scales)
    from_low, from_high = -low / scales, _ACTIVATION_LARGEST - high / scales
    # The kernel starts from the end of the range whose terms are smaller.
    starts_low = -(low / scales).abs() < _ACTIVATION_LARGEST - (high / scales).abs()
    zero_points = torch.where(starts_low, from_low, from_high).round_().clamp_(0, _ACTIVATION_LARGEST)
    return scales.float()[:, None, None], zero_points.float()[:, None, None]


def _widened(low: Tensor, high: Tensor, scales: Tensor) -> tuple[Tensor, Tensor]:
    """Widen ranges that are too narrow for the smallest allowed scale."""
    factors = (_SMALLEST_ACTIVATION_SCALE / scales).clamp_min(1)
    width = torch.where(factors > 1, _SMALLEST_ACTIVATION_SCALE * _ACTIVATION_LARGEST, 0.0)
    # At one end of the range is 0, or both are widened.
    is_positive, is_negative = low == 0, (high == 0) & (low != 0)
    return (
        torch.where(is_negative & (factors > 1), -width, low * factors),
        torch.where(is_positive & (factors > 1), width, high * factors),
    )

"""Quantized weights with a scale per input unit, by which the layer's inputs are divided."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import cast

from torch import Tensor, nn

from forgetmeter.compression.forms.scaled_integers import ScaledIntegers
from forgetmeter.compression.forms.weight import Weight
from forgetmeter.specs.ranges import Ranges


@dataclass(frozen=True)
class InputScaledWeight(Weight):
    """Weights that were multiplied by a scale per input unit before they were quantized.

    The scales are kept beside the integers. Published code folds them into the preceding layer, if it can take
    them; they then cost nothing.

    Attributes:
        scaled: The quantized product of weights and scales.
        input_scales: float32, positive, of size 1 along the output units.
    """

    scaled: ScaledIntegers
    input_scales: Tensor

    @property
    def has_layer(self) -> bool:
        """As the quantized product."""
        return self.scaled.has_layer

    @property
    def is_simulated(self) -> bool:
        """As the quantized product."""
        return self.scaled.is_simulated

    @property
    def shape(self) -> tuple[int, ...]:
        """The integers' shape."""
        return self.scaled.shape

    def values(self) -> Tensor:
        """Return the weights as float32."""
        return self.scaled.values() / self.input_scales

    def masked(self, keep: Tensor) -> InputScaledWeight:
        """Return the same scales, with integer 0 where ``keep`` is false."""
        return replace(self, scaled=self.scaled.masked(keep))

    def bits(self) -> int:
        """Return the bits per integer."""
        return self.scaled.bits()

    def scales(self) -> int:
        """Return the number of scales, those of input units included."""
        return self.scaled.scales() + int(self.input_scales.numel())

    def part(self, axis: int, ranges: Ranges) -> InputScaledWeight:
        """Return some output units, which share the scales of input units."""
        return replace(self, scaled=self.scaled.part(axis, ranges))

    def can_join(self, other: Weight) -> bool:
        """Whether both share the scales of input units and their integers can be joined."""
        return (
            isinstance(other, InputScaledWeight)
            and other.input_scales is self.input_scales
            and self.scaled.can_join(other.scaled)
        )

    def join(self, axis: int, parts: Sequence[tuple[Ranges, Weight]]) -> InputScaledWeight:
        """Return all output units."""
        scaled = [(ranges, cast(InputScaledWeight, part.standalone()).scaled) for ranges, part in parts]
        return replace(self, scaled=self.scaled.join(axis, scaled))

    def transposed(self) -> InputScaledWeight:
        """Return the other orientation."""
        return InputScaledWeight(self.scaled.transposed(), self.input_scales.transpose(-2, -1))

    def layer(self, bias: Tensor | None, *, is_conv1d: bool) -> nn.Module:
        """Return the layer of the quantized product, behind a division."""
        return InputDivision(self.scaled.layer(bias, is_conv1d=is_conv1d), self.input_scales.flatten())


class InputDivision(nn.Module):  # type: ignore[misc] # torch is not followed by mypy
    """A linear layer behind a division of its inputs.

    Attributes:
        layer: The linear layer.
        input_scales: float32, shape ``(input units,)``.
    """

    def __init__(self, layer: nn.Module, input_scales: Tensor) -> None:
        """Take a layer and scales without copying them."""
        super().__init__()
        self.layer = layer
        self.in_features, self.out_features = layer.in_features, layer.out_features
        self.register_buffer("input_scales", input_scales)

    @property
    def weight(self) -> Tensor:
        """The layer's weight."""
        return self.layer.weight

    def forward(self, inputs: Tensor) -> Tensor:
        """Apply the layer to ``(..., input units)``; returns ``(..., output units)`` in the input's dtype."""
        return self.layer(inputs.float() / self.input_scales).to(inputs.dtype)

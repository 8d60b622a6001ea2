"""A linear layer whose output units are computed in different ways."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from forgetmeter.specs.ranges import Ranges


class PartwiseLinear(nn.Module):  # type: ignore[misc] # torch is not followed by mypy
    """A fused linear layer of which some output units are quantized and others are not, or otherwise.

    Attributes:
        parts: The layers, each of which computes some of the output units.
        order: For each output unit, where it is among those of all parts; int64, shape ``(output units,)``.
    """

    def __init__(self, parts: Sequence[tuple[Ranges, nn.Module]]) -> None:
        """Make the layer.

        Args:
            parts: Layers with a ``weight``, each with its output units; together they cover all of them once.
        """
        super().__init__()
        self.parts = nn.ModuleList(layer for _, layer in parts)
        places = torch.cat([torch.arange(start, stop) for ranges, _ in parts for start, stop in ranges])
        self.register_buffer("order", torch.argsort(places).to(parts[0][1].weight.device), persistent=False)

    def forward(self, inputs: Tensor) -> Tensor:
        """Apply the layer to ``(..., input units)``; returns ``(..., output units)``."""
        return torch.cat([part(inputs) for part in self.parts], dim=-1).index_select(-1, self.order)


class DenseRows(nn.Module):  # type: ignore[misc] # torch is not followed by mypy
    """Some output units of a linear layer, as they are.

    Its weights are buffers, since they are the model's parameters no longer.

    Attributes:
        weight: Shape ``(output units, input units)``.
        bias: Shape ``(output units,)``, or ``None``.
    """

    def __init__(self, weight: Tensor, bias: Tensor | None) -> None:
        """Take weights; not copied."""
        super().__init__()
        self.register_buffer("weight", weight)
        self.register_buffer("bias", bias)

    def forward(self, inputs: Tensor) -> Tensor:
        """Apply the layer to ``(..., input units)``; returns ``(..., output units)``."""
        return nn.functional.linear(inputs, self.weight, self.bias)

"""Sums over the inputs of a linear layer."""

from __future__ import annotations

import torch
from torch import Tensor

from forgetmeter.compression.forms.unusable_weight import UnusableWeightError


class InputMoments:
    """Sums over a layer's inputs on calibration texts, for calibrated methods.

    Attributes:
        positions: Number of input vectors.
        squares: Sum of each input unit's square, float32, shape ``(input units,)``.
        magnitudes: Sum of each input unit's magnitude; same dtype and shape.
        largest: Each input unit's largest magnitude; same dtype and shape.
        products: Sum of the products of each pair of input units, float32, shape ``(input units, input units)``;
            ``None`` if not asked for.
    """

    def __init__(self, inputs: int, device: torch.device, *, has_products: bool) -> None:
        """Start at zero.

        Args:
            inputs: Number of input units.
            device: Device of the sums.
            has_products: Whether to add up products, which takes as long as the layer itself takes, or longer.
        """
        self.positions = 0
        self.squares, self.magnitudes, self.largest = torch.zeros(3, inputs, device=device)
        self.products = torch.zeros(inputs, inputs, device=device) if has_products else None

    def add(self, inputs: Tensor) -> None:
        """Add input vectors, of shape ``(…, input units)`` and any floating-point dtype."""
        rows = inputs.detach().reshape(-1, inputs.shape[-1]).float()
        if not len(rows):
            return
        self.positions += len(rows)
        magnitudes = rows.abs()
        self.squares += rows.square().sum(0)
        self.magnitudes += magnitudes.sum(0)
        self.largest = torch.maximum(self.largest, magnitudes.amax(0))
        if self.products is not None:
            self.products.addmm_(rows.t(), rows)


def refuse_infinite(sums: Tensor) -> None:
    """Refuse the inputs of a layer whose sums are not finite.

    Raises:
        UnusableWeightError: They are NaN or infinite.
    """
    if not sums.isfinite().all():
        raise UnusableWeightError("receives NaN or infinite inputs on the calibration texts; use an intact checkpoint")

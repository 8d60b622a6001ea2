"""Low-rank weights."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from forgetmeter.compression.forms.storage import packed_bytes
from forgetmeter.compression.forms.weight import DenseWeight, Weight, assembled, cut
from forgetmeter.specs.ranges import Ranges

_BITS = 32


@dataclass(frozen=True)
class LowRankWeight(Weight):
    """Low-rank weights, held as the product of the two factors; the model computes with the product.

    Attributes:
        product: The product, in the shape and dtype of the parameter.
        rank: Number of nonzero singular values.
    """

    is_recomputed: ClassVar[bool] = True

    product: Tensor
    rank: int

    @property
    def is_full_width(self) -> bool:
        """True."""
        return True

    @property
    def shape(self) -> tuple[int, ...]:
        """The product's shape."""
        return tuple(self.product.shape)

    def values(self) -> Tensor:
        """Return the product itself; must not be changed."""
        return self.product

    def masked(self, keep: Tensor) -> Weight:
        """Return dense weights: scattered zeros destroy the low rank."""
        return DenseWeight(self.product).masked(keep)

    def bits(self) -> int:
        """Return the width of the dtype."""
        return int(self.product.element_size()) * 8

    def smallest_bytes(self, plain_bytes: int) -> int:
        """Return the bytes of the two factors, if smaller than every other format.

        They take at least 32 bits per number, also if their product is rounded to 16: rounded factors have another one.
        """
        factors = self.rank * sum(self.shape[-2:]) * math.prod(self.shape[:-2])
        return min(
            super().smallest_bytes(plain_bytes), packed_bytes(factors, max(self.stored_bits(plain_bytes), _BITS))
        )

    def part(self, axis: int, ranges: Ranges) -> LowRankWeight:
        """Return some output units; their rank cannot be larger."""
        return LowRankWeight(cut(self.product, axis, ranges), self.rank)

    def can_join(self, other: Weight) -> bool:
        """Whether it is the same weight: joining two low-rank matrices raises the rank."""
        return other is self

    def join(self, axis: int, parts: Sequence[tuple[Ranges, Weight]]) -> Weight:
        """Return dense weights."""
        return DenseWeight(assembled(axis, [(ranges, part.values()) for ranges, part in parts]))

    def transposed(self) -> LowRankWeight:
        """Return a contiguous copy."""
        return LowRankWeight(self.product.transpose(-2, -1).contiguous(), self.rank)

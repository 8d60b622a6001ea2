"""16-bit floating point."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from forgetmeter.compression.forms.unusable_weight import UnusableWeightError
from forgetmeter.compression.forms.weight import DenseWeight, Weight
from forgetmeter.compression.method import MatrixMethod, Options
from forgetmeter.specs.method import MethodDeclaration, Option
from forgetmeter.specs.ranges import Ranges
from forgetmeter.specs.recipe import Level

_DTYPES = {"float16": torch.float16, "bfloat16": torch.bfloat16}


@dataclass(frozen=True)
class CastWeight:
    """Weights stored in 16 bits; the model computes with them in the dtype that it has.

    Attributes:
        stored: float16 or bfloat16.
    """

    stored: DenseWeight

    @property
    def shape(self) -> tuple[int, ...]:
        """The tensor's shape."""
        return self.stored.shape

    def values(self) -> Tensor:
        """Return the 16-bit tensor; it must not be changed."""
        return self.stored.values()

    def masked(self, keep: Tensor) -> CastWeight:
        """Return a new 16-bit tensor with positive zeros where ``keep`` is false."""
        return CastWeight(self.stored.masked(keep))

    def bits(self) -> int:
        """Return 16."""
        return self.stored.bits()

    def scales(self) -> int:
        """Return 0: there are none."""
        return 0

    def part(self, axis: int, ranges: Ranges) -> CastWeight:
        """Return some of the weights."""
        return CastWeight(self.stored.part(axis, ranges))

    def joins(self, other: Weight) -> bool:
        """Whether the other is of the same 16-bit dtype."""
        return isinstance(other, CastWeight) and self.stored.joins(other.stored)

    def together(self, axis: int, parts: Sequence[tuple[Ranges, Weight]]) -> CastWeight:
        """Return a new tensor."""
        return CastWeight(self.stored.together(axis, parts))

    def transposed(self) -> CastWeight:
        """Return a contiguous copy."""
        return CastWeight(self.stored.transposed())


def transform(weight: Weight, level: Level | None, options: Options) -> CastWeight:  # noqa: ARG001
    """Round each weight to the nearest number of the dtype, as ``Tensor.to`` does.

    Args:
        weight: The weights.
        level: None.
        options: ``dtype``: ``float16`` or ``bfloat16``.

    Raises:
        UnusableWeightError: A finite weight is too large for the dtype.
    """
    values = weight.values().detach()
    stored = values.to(_DTYPES[str(options["dtype"])])
    if bool((stored.isinf() & values.isfinite()).any()):
        raise UnusableWeightError(f"holds a weight that is too large for {options['dtype']}; use dtype=bfloat16")
    return CastWeight(DenseWeight(stored))


METHOD = MatrixMethod(
    MethodDeclaration(
        name="cast",
        summary="Weights stored in 16-bit floating point; computed in the model's own dtype.",
        reference="torch.Tensor.to",
        level="none",
        options={"dtype": Option("bfloat16", "The 16-bit dtype.", tuple(_DTYPES))},
        effect="rewrites",
        kind="casts",
    ),
    transform,
)

"""A weight matrix between the steps of a recipe."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import ClassVar, Protocol

import torch
from torch import Tensor, nn

from forgetmeter.compression.forms.storage import SCALE_BYTES, lossless_bytes, packed_bytes
from forgetmeter.specs.ranges import Ranges, count
from forgetmeter.specs.role import Block, Matrix

_SAME_WIDTH = {1: torch.int8, 2: torch.int16, 4: torch.int32, 8: torch.int64}


@dataclass(frozen=True)
class StoredIntegers:
    """What a checkpoint stores of a quantized linear layer; a weight is ``(integer - zero point) * scale``.

    Attributes:
        integers: int8 from ``-2**(bits-1)`` to ``2**(bits-1) - 1``, ``(output units, input units)``.
        scales: float32, ``(output units, groups of input units)``.
        zero_points: int8 like the integers, in the shape of the scales; ``None`` if all are 0.
        groups: int32, the group of each input unit; ``None`` if groups are neighbours, all of one size.
    """

    integers: Tensor
    scales: Tensor
    zero_points: Tensor | None = None
    groups: Tensor | None = None


class Weight(Protocol):
    """A weight matrix in the form left by the previous steps. Never changed in place.

    Each form is a subclass that overrides what differs from dense weights.

    Attributes:
        keeps_dtype: Whether checkpoints of plain tensors store it in the dtype of its values, not in the parameter's.
        is_recomputed: Whether values that it does not mean to change may differ by rounding.
    """

    keeps_dtype: ClassVar[bool] = False
    is_recomputed: ClassVar[bool] = False

    @property
    def is_full_width(self) -> bool:
        """Whether no method has quantized it: it is stored as wide as before, in whatever dtype it is computed."""
        return False

    @property
    def has_layer(self) -> bool:
        """Whether it is installed as its own layer, made by ``layer``."""
        return False

    @property
    def is_dropped(self) -> bool:
        """Whether its block was dropped."""
        return False

    @property
    def is_deferred(self) -> bool:
        """Whether it is loaded on each access."""
        return False

    @property
    def is_simulated(self) -> bool:
        """Whether it is computed in floating point for lack of a kernel."""
        return False

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of the parameter, or of this part of it: see ``Matrix.shape``."""
        ...

    def values(self) -> Tensor:
        """Return the weights as a floating-point tensor of the weight's shape."""
        ...

    def masked(self, keep: Tensor) -> Weight:
        """Return a weight with zeros where ``keep`` (bool, same shape) is false, in the same form if possible."""
        ...

    def bits(self) -> int:
        """Return the bits per stored weight."""
        ...

    def scales(self) -> int:
        """Return the number of float32 scales stored with the weights."""
        return 0

    def grid_bytes(self) -> int:
        """Return the bytes stored with the weights: float32 scales, and zero points if there are any."""
        return self.scales() * SCALE_BYTES

    def part(self, axis: int, ranges: Ranges) -> Weight:
        """Return the weights at some indices of an axis, in the same form if possible."""
        ...

    def can_join(self, other: Weight) -> bool:
        """Whether this weight and another can be joined into one of this form without changing either."""
        ...

    def join(self, axis: int, parts: Sequence[tuple[Ranges, Weight]]) -> Weight:
        """Join parts into one weight; each of them joins this one, and their ranges cover the axis once."""
        ...

    def transposed(self) -> Weight:
        """Return the weight with its last two axes swapped, as between ``Conv1D`` and ``nn.Linear``."""
        ...

    def expert(self, number: int) -> Weight:
        """Return the matrix of one expert of a tensor of experts, in the same form if it has a layer."""
        return DenseWeight(self.values()[number])

    def standalone(self) -> Weight:
        """Return a standalone weight: itself, unless it is part of another weight."""
        return self

    def loaded(self) -> Weight:
        """Return the weight with its tensors in memory."""
        return self

    def rewritten(self, values: Tensor) -> Weight:
        """Return new values of the same shape as dense weights, in the dtype of the old ones."""
        bare = self.standalone().loaded()
        if bare is not self:
            return bare.rewritten(values)
        return DenseWeight(values.to(self.values().dtype).contiguous())

    def parameter(self, dtype: torch.dtype) -> Tensor:
        """Return the tensor that replaces a whole parameter of a dtype."""
        return self.values().to(dtype)

    def layer(self, bias: Tensor | None, *, is_conv1d: bool) -> nn.Module:  # noqa: ARG002
        """Return the layer that replaces an ``nn.Linear`` or ``Conv1D``; only if ``has_layer``."""
        raise TypeError(f"{type(self).__name__} has no layer, since it is installed as a parameter")

    def stored_integers(self) -> StoredIntegers | None:
        """Return what a checkpoint of packed integers stores of a linear layer; ``None`` if it has no such form."""
        return None

    def quantized_bytes(self, plain_bytes: int) -> int:
        """Return the bytes of the weight at its bit width, including scales and zero points.

        Args:
            plain_bytes: Bytes of the model's own weights in its place, as stored.
        """
        if self.is_full_width:
            return plain_bytes
        return min(plain_bytes, packed_bytes(prod(self.shape), self.bits())) + self.grid_bytes()

    def smallest_bytes(self, plain_bytes: int) -> int:
        """Return the bytes of the weight in its smallest lossless format: plain, or one of ``lossless_bytes``.

        ``plain_bytes`` is as in ``quantized_bytes``.
        """
        return min(plain_bytes, lossless_bytes(self.values(), self.stored_bits(plain_bytes), self.grid_bytes()))

    def stored_bits(self, plain_bytes: int) -> int:
        """Return the bits per weight, at most those in the checkpoint. ``plain_bytes`` is as in ``quantized_bytes``."""
        most = 8 * plain_bytes // max(1, prod(self.shape))
        return most if self.is_full_width else min(self.bits(), most)


@dataclass(frozen=True)
class DenseWeight(Weight):
    """Dense floating-point weights."""

    tensor: Tensor

    @property
    def is_full_width(self) -> bool:
        """True."""
        return True

    @property
    def shape(self) -> tuple[int, ...]:
        """The tensor's shape."""
        return tuple(self.tensor.shape)

    def values(self) -> Tensor:
        """Return the tensor itself; must not be changed."""
        return self.tensor

    def masked(self, keep: Tensor) -> DenseWeight:
        """Return a new contiguous tensor with positive zeros where ``keep`` is false."""
        # Multiplying the bits as integers by 0 or 1 equals torch.where, even for infinities and NaN, and is faster,
        # above all if both factors have the same dtype.
        integer = _SAME_WIDTH[self.tensor.element_size()]
        pruned = torch.empty(self.tensor.shape, dtype=self.tensor.dtype, device=self.tensor.device)
        pruned.view(integer).copy_(keep).mul_(self.tensor.detach().view(integer))
        return DenseWeight(pruned)

    def bits(self) -> int:
        """Return the width of the dtype."""
        return int(self.tensor.element_size()) * 8

    def part(self, axis: int, ranges: Ranges) -> DenseWeight:
        """Return a view of one range, or a copy of several."""
        return DenseWeight(cut(self.tensor, axis, ranges))

    def can_join(self, other: Weight) -> bool:
        """Whether the other is dense and has the same dtype."""
        return isinstance(other, DenseWeight) and other.tensor.dtype == self.tensor.dtype

    def join(self, axis: int, parts: Sequence[tuple[Ranges, Weight]]) -> DenseWeight:
        """Return a new tensor."""
        return DenseWeight(assembled(axis, [(ranges, part.values()) for ranges, part in parts]))

    def transposed(self) -> DenseWeight:
        """Return a contiguous copy."""
        return DenseWeight(self.tensor.transpose(-2, -1).contiguous())


@dataclass(frozen=True)
class PartWeight(Weight):
    """A part of a weight, cut out on access.

    Parts of a fused parameter have this form until a method changes them, which avoids copies and lets ``joined``
    recognize a whole.

    Attributes:
        whole: The weight it is a part of.
        axis: The axis along which it is cut.
        ranges: Its indices along that axis.
    """

    whole: Weight
    axis: int
    ranges: Ranges

    @property
    def is_full_width(self) -> bool:
        """As the whole."""
        return self.whole.is_full_width

    @property
    def is_dropped(self) -> bool:
        """As the whole."""
        return self.whole.is_dropped

    @property
    def is_deferred(self) -> bool:
        """As the whole."""
        return self.whole.is_deferred

    @property
    def is_simulated(self) -> bool:
        """As the whole."""
        return self.whole.is_simulated

    @property
    def shape(self) -> tuple[int, ...]:
        """The part's shape."""
        return self.standalone().shape

    def standalone(self) -> Weight:
        """Return the part as a standalone weight in the form of the whole."""
        return self.whole.part(self.axis, self.ranges)

    def simplified(self) -> Weight:
        """Return a weight in the form of the whole; part of a dense weight stays a part, to avoid a copy."""
        if count(self.ranges) == self.whole.shape[self.axis]:
            return self.whole
        return self if isinstance(self.whole, DenseWeight) else self.standalone()

    def loaded(self) -> Weight:
        """Return the loaded part if the whole is deferred."""
        return self.standalone().loaded() if self.is_deferred else self

    def smallest_bytes(self, plain_bytes: int) -> int:
        """Return the bytes of the part alone."""
        return self.standalone().smallest_bytes(plain_bytes)

    def values(self) -> Tensor:
        """Return a view or a copy; must not be changed."""
        return self.standalone().values()

    def masked(self, keep: Tensor) -> Weight:
        """Return a standalone weight."""
        return self.standalone().masked(keep)

    def bits(self) -> int:
        """Return the bits of the whole."""
        return self.whole.bits()

    def scales(self) -> int:
        """Return the number of scales of the part alone."""
        return self.standalone().scales()

    def grid_bytes(self) -> int:
        """Return the bytes of the scales and zero points of the part alone."""
        return self.standalone().grid_bytes()

    def part(self, axis: int, ranges: Ranges) -> Weight:
        """Return a part of the part."""
        return self.standalone().part(axis, ranges)

    def can_join(self, other: Weight) -> bool:
        """Whether the whole joins the other."""
        return self.whole.can_join(other.whole if isinstance(other, PartWeight) else other)

    def join(self, axis: int, parts: Sequence[tuple[Ranges, Weight]]) -> Weight:
        """Return a weight in the form of the whole."""
        return self.whole.join(axis, parts)

    def transposed(self) -> Weight:
        """Return a standalone weight."""
        return self.standalone().transposed()


def dropped_among(weights: Mapping[Matrix, Weight]) -> set[Block]:
    """Return the blocks of the weights that are dropped."""
    return {block for matrix, weight in weights.items() if weight.is_dropped and (block := matrix.block)}


def by_matrix(matrices: Iterable[Matrix], wholes: Mapping[str, Weight]) -> dict[Matrix, Weight]:
    """Return the weight of each matrix: its parameter's weight in ``wholes``, or a part of it."""
    return {
        matrix: wholes[matrix.parameter]
        if matrix.axis is None
        else PartWeight(wholes[matrix.parameter], matrix.axis, matrix.ranges)
        for matrix in matrices
    }


def cut(tensor: Tensor, axis: int, ranges: Ranges) -> Tensor:
    """Return a tensor's values at some indices of an axis: a view of one range, or a copy of several."""
    pieces = [tensor.narrow(axis, start, stop - start) for start, stop in ranges]
    return pieces[0] if len(pieces) == 1 else torch.cat(pieces, dim=axis)


def assembled(axis: int, parts: Sequence[tuple[Ranges, Tensor]]) -> Tensor:
    """Return a new tensor with each part at its ranges; the inverse of ``cut``."""
    shape = list(parts[0][1].shape)
    shape[axis] = sum(part.shape[axis] for _, part in parts)
    whole = parts[0][1].new_empty(shape)
    for ranges, part in parts:
        put(whole, axis, ranges, part)
    return whole


def put(whole: Tensor, axis: int, ranges: Ranges, part: Tensor) -> None:
    """Overwrite a tensor's values at some indices of an axis."""
    offset = 0
    for start, stop in ranges:
        whole.narrow(axis, start, stop - start).copy_(part.narrow(axis, offset, stop - start))
        offset += stop - start

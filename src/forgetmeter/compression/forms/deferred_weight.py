"""Lazily loaded weights."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, is_dataclass, replace
from typing import Any, TypeVar, cast

from torch import Tensor

from forgetmeter.compression.forms.weight import Weight
from forgetmeter.specs.ranges import Ranges

Value = TypeVar("Value")


@dataclass(frozen=True, eq=False)
class DeferredWeight(Weight):
    """A weight in any form that is loaded on each access and never cached.

    Attributes:
        meta: The weight with its tensors on the ``meta`` device, which gives its shape, its bits, and the weights
            it can be joined with.
        load: Loads the weight.
    """

    meta: Weight
    load: Callable[[], Weight]

    @property
    def is_full_width(self) -> bool:
        """As the meta weight."""
        return self.meta.is_full_width

    @property
    def is_deferred(self) -> bool:
        """True."""
        return True

    @property
    def shape(self) -> tuple[int, ...]:
        """The meta weight's shape."""
        return self.meta.shape

    def values(self) -> Tensor:
        """Load the weights."""
        return self.load().values()

    def loaded(self) -> Weight:
        """Load the weight."""
        return self.load()

    def masked(self, keep: Tensor) -> Weight:
        """Load the weights, and zero them where ``keep`` is false."""
        return self.load().masked(keep)

    def bits(self) -> int:
        """Return the meta weight's bits."""
        return self.meta.bits()

    def scales(self) -> int:
        """Return the meta weight's number of scales."""
        return self.meta.scales()

    def grid_bytes(self) -> int:
        """Return the meta weight's bytes of scales and zero points."""
        return self.meta.grid_bytes()

    def part(self, axis: int, ranges: Ranges) -> DeferredWeight:
        """Return a lazily loaded part."""
        return DeferredWeight(self.meta.part(axis, ranges), lambda: self.load().part(axis, ranges))

    def can_join(self, other: Weight) -> bool:
        """Whether the loaded weight can be joined with the other."""
        return self.meta.can_join(_meta(other))

    def join(self, axis: int, parts: Sequence[tuple[Ranges, Weight]]) -> DeferredWeight:
        """Return the joined weight, which is loaded on access."""
        meta = [(ranges, _meta(part)) for ranges, part in parts]

        def load() -> Weight:
            loaded = [(ranges, part.loaded()) for ranges, part in parts]
            return loaded[0][1].join(axis, loaded)

        return DeferredWeight(meta[0][1].join(axis, meta), load)

    def transposed(self) -> DeferredWeight:
        """Return the other orientation, loaded on access."""
        return DeferredWeight(self.meta.transposed(), lambda: self.load().transposed())


def with_tensors(value: Value, change: Callable[[Tensor], Tensor]) -> Value:
    """Return a weight with each of its tensors changed, in the order of its attributes."""
    if isinstance(value, Tensor):
        return cast(Value, change(value))
    if not is_dataclass(value) or isinstance(value, type):
        return value
    changed: dict[str, Any] = {each.name: with_tensors(getattr(value, each.name), change) for each in fields(value)}
    return replace(value, **changed)


def _meta(weight: Weight) -> Weight:
    own = weight.standalone()
    return own.meta if isinstance(own, DeferredWeight) else own

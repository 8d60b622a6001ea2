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
        husk: The weight with its tensors on the ``meta`` device, which gives its shape, its bits, and which weights
            it joins.
        load: Loads the weight.
    """

    husk: Weight
    load: Callable[[], Weight]

    @property
    def is_deferred(self) -> bool:
        """True."""
        return True

    @property
    def shape(self) -> tuple[int, ...]:
        """The husk's shape."""
        return self.husk.shape

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
        """Return the husk's bits."""
        return self.husk.bits()

    def scales(self) -> int:
        """Return the husk's number of scales."""
        return self.husk.scales()

    def part(self, axis: int, ranges: Ranges) -> DeferredWeight:
        """Return a lazily loaded part."""
        return DeferredWeight(self.husk.part(axis, ranges), lambda: self.load().part(axis, ranges))

    def joins(self, other: Weight) -> bool:
        """Whether the loaded weight joins the other."""
        return self.husk.joins(_husk(other))

    def together(self, axis: int, parts: Sequence[tuple[Ranges, Weight]]) -> DeferredWeight:
        """Return a whole that is joined on access."""
        husks = [(ranges, _husk(part)) for ranges, part in parts]

        def load() -> Weight:
            loaded = [(ranges, part.loaded()) for ranges, part in parts]
            return loaded[0][1].together(axis, loaded)

        return DeferredWeight(husks[0][1].together(axis, husks), load)

    def transposed(self) -> DeferredWeight:
        """Return the other orientation, loaded on access."""
        return DeferredWeight(self.husk.transposed(), lambda: self.load().transposed())


def with_tensors(value: Value, change: Callable[[Tensor], Tensor]) -> Value:
    """Return a weight with each of its tensors changed, in the order of its attributes."""
    if isinstance(value, Tensor):
        return cast(Value, change(value))
    if not is_dataclass(value) or isinstance(value, type):
        return value
    changed: dict[str, Any] = {each.name: with_tensors(getattr(value, each.name), change) for each in fields(value)}
    return replace(value, **changed)


def _husk(weight: Weight) -> Weight:
    own = weight.taken_out()
    return own.husk if isinstance(own, DeferredWeight) else own

"""Tensors that are made when they are looked at."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import overload

from torch import Tensor


class LazyTensors(Sequence[Tensor]):
    """A sequence of tensors, each made anew when it is looked at, so that dequantized copies do not pile up."""

    def __init__(self, makers: Sequence[Callable[[], Tensor]]) -> None:
        """Take what makes each tensor."""
        self._makers = makers

    def __len__(self) -> int:
        return len(self._makers)

    @overload
    def __getitem__(self, index: int) -> Tensor: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Tensor]: ...
    def __getitem__(self, index: int | slice) -> Tensor | Sequence[Tensor]:
        if isinstance(index, slice):
            return LazyTensors(self._makers[index])
        return self._makers[index]()

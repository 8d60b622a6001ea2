"""Running a model of 16-bit weights in float32 arithmetic, without a copy of a large model."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from itertools import chain
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map

_HALF = (torch.bfloat16, torch.float16)
_MOST_KEPT = 2**31
"""Bytes of converted weights that are kept between operations: conversion takes longer than a short text."""


def has_half(model: nn.Module) -> bool:
    """Whether any weight or buffer of a model has 16 bits."""
    return any(tensor.dtype in _HALF for tensor in chain(model.parameters(), model.buffers()))


class InFloat32(TorchDispatchMode):  # type: ignore[misc]
    """Makes each operation convert its 16-bit inputs to float32, and keep float32 where 16 bits are asked for.

    Weights are converted once, up to ``_MOST_KEPT`` bytes; of the others, only those of one operation at a time are
    held in float32.
    """

    def __init__(self, model: nn.Module) -> None:
        """Take the model that will run, whose weights must stay as they are."""
        super().__init__()
        self._weights = {parameter.untyped_storage().data_ptr() for parameter in model.parameters()}
        self._kept: dict[Hashable, Tensor] = {}
        self._left = _MOST_KEPT

    def __torch_dispatch__(
        self,
        func: Any,  # noqa: ANN401 - an operator, as PyTorch passes it
        types: Sequence[type],
        args: Sequence[object] = (),
        kwargs: Mapping[str, object] | None = None,
    ) -> Any:  # noqa: ANN401 - whatever the operator returns
        """Run one operation."""
        # Views and lookups compute nothing; converting a whole table for a few rows would only cost memory.
        keeps = func.is_view or func is torch.ops.aten.embedding.default
        arguments = func._schema.arguments
        # What an operation writes to must stay itself.
        written = {argument.name for argument in arguments if argument.is_write}

        def converted(name: str, given: object) -> object:
            return tree_map(lambda value: self._converted(value, keeps=keeps or name in written), given)

        positional = [converted(argument.name, given) for argument, given in zip(arguments, args, strict=False)]
        return func(*positional, **{name: converted(name, given) for name, given in (kwargs or {}).items()})

    def _converted(self, value: object, *, keeps: bool) -> object:
        if isinstance(value, torch.dtype) and value in _HALF:
            return torch.float32
        if not isinstance(value, Tensor) or value.dtype not in _HALF or keeps:
            return value
        storage = value.untyped_storage().data_ptr()
        key = (storage, value.storage_offset(), value.shape, value.stride(), value.dtype)
        if key in self._kept:
            return self._kept[key]
        found = value.float()
        if storage in self._weights and found.nbytes <= self._left:
            self._kept[key] = found
            self._left -= found.nbytes
        return found

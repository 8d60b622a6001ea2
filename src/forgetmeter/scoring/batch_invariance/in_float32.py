"""Running a model with 16-bit weights in float32 arithmetic, without a copy of the model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import chain
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map

_HALF = (torch.bfloat16, torch.float16)


def has_half(model: nn.Module) -> bool:
    """Whether any weight or buffer of a model has 16 bits."""
    return any(tensor.dtype in _HALF for tensor in chain(model.parameters(), model.buffers()))


class InFloat32(TorchDispatchMode):  # type: ignore[misc]
    """Makes each operation convert its 16-bit inputs to float32, and keep float32 where 16 bits are asked for.

    Only the weights of one operation at a time are held in float32.
    """

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
        # A tensor that an operation writes to must not be replaced by a copy.
        written = {argument.name for argument in arguments if argument.is_write}

        def converted(name: str, given: object) -> object:
            return tree_map(lambda value: _converted(value, keeps=keeps or name in written), given)

        positional = [converted(argument.name, given) for argument, given in zip(arguments, args, strict=False)]
        return func(*positional, **{name: converted(name, given) for name, given in (kwargs or {}).items()})


def _converted(value: object, *, keeps: bool) -> object:
    if isinstance(value, torch.dtype) and value in _HALF:
        return torch.float32
    if isinstance(value, Tensor) and value.dtype in _HALF and not keeps:
        return value.float()
    return value

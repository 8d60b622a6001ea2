"""Tensors of a checkpoint as floating-point numbers, whether they are stored as such or not."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from forgetmeter.models.files.model_files import TensorHeader
from forgetmeter.models.files.safetensors_file import stored_tensor

_WIDENED = ("F16", "BF16")


@dataclass(frozen=True)
class PlainTensor:
    """A tensor whose values are read or computed when they are needed.

    Attributes:
        header: Its name, dtype and shape as floating-point numbers, at the position of the first tensor that it is read
            from.
        read: Returns its values, in the header's dtype and shape. May raise a ``UserError``.
    """

    header: TensorHeader
    read: Callable[[], Tensor]


def as_stored(header: TensorHeader) -> PlainTensor:
    """Return a stored tensor; 16-bit floats become float32, like the unpacked weights next to them.

    Raises:
        UserError: Its dtype is not supported.
    """
    stored = stored_tensor(header)
    if header.dtype not in _WIDENED:
        return PlainTensor(header, stored.read)
    return PlainTensor(replace(header, dtype="F32"), lambda: stored.read().to(torch.float32))

"""Pool sizes of the built-in methods, computed from shapes alone, and masks of whole units."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from forgetmeter.specs.method import Option, Pools
from forgetmeter.specs.recipe import OptionValue
from forgetmeter.specs.role import Matrix


def _weights_of_each(matrices: Sequence[Matrix], _options: Mapping[str, OptionValue]) -> list[int]:
    return [math.prod(shape) for shape in _shapes(matrices)]


def _weights(matrices: Sequence[Matrix], options: Mapping[str, OptionValue]) -> list[int]:
    sizes = _weights_of_each(matrices, options)
    return sizes if options["pool"] == "matrix" else [sum(sizes)]


def _units(matrices: Sequence[Matrix], options: Mapping[str, OptionValue]) -> list[int]:
    axis = -2 + int(options["dim"])
    return [math.prod(shape[:-2]) * shape[axis] for shape in _shapes(matrices)]


def _ranks(matrices: Sequence[Matrix], _options: Mapping[str, OptionValue]) -> list[int]:
    return [min(shape[-2:]) for shape in _shapes(matrices)]


def _shapes(matrices: Sequence[Matrix]) -> list[tuple[int, ...]]:
    """Return the shape of each parameter's selected part, as ``(…, output units, input units)``."""
    parts: dict[str, list[Matrix]] = {}
    for matrix in matrices:
        parts.setdefault(matrix.parameter, []).append(matrix)
    return [_shape(each) for each in parts.values()]


def _shape(parts: Sequence[Matrix]) -> tuple[int, ...]:
    shape = list(parts[0].shape)
    if (axis := parts[0].axis) is not None:
        shape[axis] = sum(part.shape[axis] for part in parts)
    if parts[0].has_inputs_first:
        shape[-2:] = shape[:-3:-1]
    return tuple(shape)


WEIGHTS = Pools("weights", _weights)
WEIGHTS_OF_EACH = Pools("weights", _weights_of_each)
UNITS = Pools("units", _units)
RANKS = Pools("singular values", _ranks)
DIM = Option(
    0,
    "Units to remove: 0 for output units (rows of nn.Linear, columns of Conv1D), 1 for input units.",
    (0, 1),
)


def unit_mask(like: Tensor, dim: int, removed: Tensor) -> Tensor:
    """Return a contiguous bool tensor that is false at the removed units.

    Args:
        like: Weights, ``(…, output units, input units)``.
        removed: Indices of the removed units; those of experts are numbered expert by expert.
    """
    sizes = _sizes(like, dim)
    keep = torch.ones(sizes, dtype=torch.bool, device=like.device)
    keep.view(-1)[removed.to(like.device)] = False
    return keep.unsqueeze(-1 if dim == 0 else -2).expand(like.shape).contiguous()


def unit_count(like: Tensor, dim: int) -> int:
    """Return the number of units, counting those of each expert."""
    return int(torch.Size(_sizes(like, dim)).numel())


def _sizes(like: Tensor, dim: int) -> tuple[int, ...]:
    return (*like.shape[:-2], like.shape[-2 + dim])

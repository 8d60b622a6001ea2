"""Masks of whole output or input units."""

from __future__ import annotations

import torch
from torch import Tensor

from forgetmeter.specs.method import Option

DIM = Option(
    0,
    "Which units go: 0 for output units (rows of nn.Linear, columns of Conv1D), 1 for input units.",
    (0, 1),
)


def unit_mask(like: Tensor, dim: int, removed: Tensor) -> Tensor:
    """Return a contiguous bool tensor that is false at the removed units.

    Args:
        like: Weights, ``(…, output units, input units)``.
        dim: 0 for output units, 1 for input units.
        removed: Indices of the removed units; of experts, each one's units are counted after the ones before.
    """
    sizes = _sizes(like, dim)
    keep = torch.ones(sizes, dtype=torch.bool, device=like.device)
    keep.view(-1)[removed.to(like.device)] = False
    return keep.unsqueeze(-1 if dim == 0 else -2).expand(like.shape).contiguous()


def unit_count(like: Tensor, dim: int) -> int:
    """Return how many units there are; each expert has its own."""
    return int(torch.Size(_sizes(like, dim)).numel())


def _sizes(like: Tensor, dim: int) -> tuple[int, ...]:
    return (*like.shape[:-2], like.shape[-2 + dim])

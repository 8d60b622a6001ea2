"""Checks of a model that is open: that it has what recipes and evaluation need."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from transformers import PreTrainedModel

from forgetmeter.errors import UserError
from forgetmeter.models.checks.torch_compression import torch_compression
from forgetmeter.models.roles.weight_map import weight_map

_COMPRESSIBLE = {"attention", "feed_forward", "mixer", "unknown"}


def refuse_other_shapes(mismatched: Collection[Any], name: str) -> None:
    """Refuse a checkpoint with tensors whose shapes differ from its configuration, given transformers' report.

    Raises:
        UserError: There is such a tensor.
    """
    if mismatched:
        key, stored, wanted = sorted(mismatched)[0]
        raise UserError(
            f"model '{name}': {key} is {list(stored)} in the checkpoint, but {list(wanted)} in its config.json"
        )


def check_supported(model: PreTrainedModel, name: str) -> None:
    """Check that a model has weight matrices that recipes can compress, or is already quantized.

    Raises:
        UserError: None of its blocks has any, and not because torch has compressed them.
    """
    if getattr(model, "is_quantized", False):
        return
    has_any = any(matrix.role.component in _COMPRESSIBLE for matrix in weight_map(model))
    if not has_any and torch_compression(model) is None:
        raise UserError(f"model '{name}' ({type(model).__name__}) has no blocks with weight matrices")

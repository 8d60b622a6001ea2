"""Checks of a model that is open: that it has what recipes and evaluation need."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import torch
from torch import nn
from transformers import PreTrainedModel

from forgetmeter.errors import UserError
from forgetmeter.models.checks.torch_compression import torch_compression
from forgetmeter.models.roles.weight_map import is_quantized, weight_map

_PLAIN = (torch.float64, torch.float32, torch.bfloat16, torch.float16)
_COMPRESSIBLE = {"attention", "feed_forward", "mixer", "unknown"}


def refuse_other_shapes(mismatched: Collection[Any], name: str) -> None:
    """Refuse a checkpoint with tensors whose shapes differ from its configuration, given transformers' report.

    Raises:
        UserError: There is such a tensor.
    """
    if mismatched:
        key, stored, wanted = sorted(mismatched)[0]
        raise UserError(
            f"model '{name}': {key} has the shape {list(stored)} in the checkpoint, but {list(wanted)} according to "
            "its config.json; use the config.json that belongs to these weights"
        )


def refuse_not_numbers(model: PreTrainedModel, name: str) -> None:
    """Refuse a model with NaN or infinity among its weights, which attention may hide: its answers would look valid.

    Quantized weights are not looked at. Rows of embeddings are let through: they may belong to tokens that no text has,
    and otherwise make the answers NaN.

    Raises:
        UserError: It has such a weight.
    """
    embeddings = {id(module.weight) for module in model.modules() if isinstance(module, nn.Embedding)}
    for parameter, values in model.named_parameters():
        if id(values) in embeddings or is_quantized(values) or values.dtype not in _PLAIN or values.is_meta:
            continue
        if not bool(values.detach().isfinite().all()):
            raise UserError(f"model '{name}': {parameter} holds NaN or infinity; use an intact checkpoint")


def check_supported(model: PreTrainedModel, name: str) -> None:
    """Check that a model has weight matrices that recipes can compress, or is already quantized.

    Raises:
        UserError: None of its blocks has any, and not because torch has compressed them.
    """
    if getattr(model, "is_quantized", False):
        return
    has_any = any(matrix.role.component in _COMPRESSIBLE for matrix in weight_map(model))
    if not has_any and torch_compression(model) is None:
        raise UserError(
            f"model '{name}' ({type(model).__name__}) has no blocks with weight matrices, "
            "so there is nothing to compress"
        )

"""Checks of a model that is open: that it has what recipes and evaluation need."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from transformers import PreTrainedModel, PreTrainedTokenizerBase

from forgetmeter.errors import UserError
from forgetmeter.models.roles.output_head import embedding_rows
from forgetmeter.models.roles.weight_map import weight_map
from forgetmeter.models.torch_compression import torch_compression
from forgetmeter.plural import counted

_COMPRESSIBLE = {"attention", "feed_forward", "mixer", "unknown"}


def refuse_tokens_beyond_embedding(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, name: str = "wrapped"
) -> None:
    """Refuse a tokenizer with ordinary tokens that have no embedding in the model.

    Special tokens may lack one (Gemma 3's text models have no row for their tokenizer's image token); texts with such a
    token are skipped during evaluation.

    Raises:
        UserError: An ordinary token has no embedding.
    """
    rows = embedding_rows(model)
    added, special = tokenizer.added_tokens_decoder, set(tokenizer.all_special_ids)
    beyond = {
        token: number
        for token, number in tokenizer.get_vocab().items()
        if number >= rows and number not in special and not (number in added and added[number].special)
    }
    if beyond:
        token, number = min(beyond.items(), key=lambda each: each[1])
        raise UserError(
            f"model '{name}': its tokenizer has {counted(len(beyond), 'token')} beyond the model's {rows:,} "
            f"embeddings, such as {token!r} ({number}); use the tokenizer that the model was trained with"
        )


def refuse_other_shapes(mismatched: Collection[Any], name: str) -> None:
    """Refuse a checkpoint with tensors whose shapes are not those of its configuration, given transformers' report.

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

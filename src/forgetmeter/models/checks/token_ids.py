"""Token ids of a tokenizer and a configuration, all of which must have an embedding."""

from __future__ import annotations

from typing import Any

from transformers import PreTrainedModel, PreTrainedTokenizerBase

from forgetmeter.basics.plural import counted
from forgetmeter.errors import UserError
from forgetmeter.models.family import Family
from forgetmeter.models.roles.output_head import embedding_rows
from forgetmeter.models.safe_loading.panics import refusing_panics

_STARTS = ("decoder_start_token_id", "bos_token_id", "pad_token_id")


def refuse_impossible_tokens(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, family: Family, name: str
) -> None:
    """Refuse a tokenizer, or a configuration, with tokens that have no embedding in the model.

    Raises:
        UserError: An ordinary token, one that is added to every text, the padding token of an encoder, or the first
            token of an encoder-decoder's decoder has no embedding.
    """
    rows = embedding_rows(model)
    _refuse_tokens_beyond_embedding(tokenizer, rows, name)
    with refusing_panics(name):
        added = list(tokenizer("")["input_ids"])
    padding = [] if family == "decoder" or tokenizer.pad_token_id is None else [tokenizer.pad_token_id]
    for ids, use in ((added, "adds token {} to every text"), (padding, "pads texts with token {}")):
        if beyond := [each for each in ids if each >= rows]:
            raise UserError(
                f"model '{name}': its tokenizer {use.format(beyond[0])}, beyond the model's {rows:,} embeddings; "
                "use the tokenizer that the model was trained with"
            )
    if family == "encoder-decoder":
        decoder_start(model, name)
    # RoBERTa and its kind count positions from this token.
    embeddings: Any = getattr(model.base_model, "embeddings", None)
    if hasattr(embeddings, "position_embeddings"):
        _refuse_impossible("pad_token_id", getattr(embeddings, "padding_idx", 0), rows, name)


def decoder_start(model: PreTrainedModel, name: str) -> int:
    """Return the token with which the decoder of an encoder-decoder starts.

    Most models of transformers put it before labels. mBART and PLBart put the labels' last token there instead, so the
    model would see the end of the answer before its beginning.

    Raises:
        UserError: The configuration has none, or one that has no embedding.
    """
    for key in _STARTS:
        token = getattr(model.config, key, None)
        if token is not None:
            decoder = model.get_decoder()
            # FSMT's is a plain module.
            rows = embedding_rows(decoder if isinstance(decoder, PreTrainedModel) else model)
            _refuse_impossible(key, token, rows, name)
            return int(token)
    raise UserError(f"model '{name}': decoder_start_token_id is missing from its config.json; restore the original")


def _refuse_impossible(key: str, token: Any, rows: int, name: str) -> None:  # noqa: ANN401 - as in a file
    if type(token) is not int or not 0 <= token < rows:
        raise UserError(
            f"model '{name}': {key} in its config.json is {token!r:.60}, which is not a token from 0 to {rows - 1:,}; "
            "restore the original"
        )


def _refuse_tokens_beyond_embedding(tokenizer: PreTrainedTokenizerBase, rows: int, name: str) -> None:
    """Refuse a tokenizer with ordinary tokens that have no embedding in the model.

    Special tokens may lack one (Gemma 3's text models have no row for their tokenizer's image token); texts with such a
    token are skipped during evaluation.

    Raises:
        UserError: An ordinary token has no embedding.
    """
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

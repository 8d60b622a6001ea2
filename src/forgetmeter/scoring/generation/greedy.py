"""Greedy generation by transformers, each row ending on its own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor
from transformers import (
    DynamicCache,
    EncoderDecoderCache,
    GenerationConfig,
    LogitsProcessor,
    LogitsProcessorList,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    StoppingCriteria,
    StoppingCriteriaList,
)

from forgetmeter.models.roles.output_head import embedding_rows
from forgetmeter.scoring.tokens.answer_tokens import Tokens

_LOOKBACK = 2
"""Tokens looked at beyond those of an end, which the model may have written in other tokens; as in lm-eval."""
_TOKEN_IDS = (
    "pad_token_id",
    "bos_token_id",
    "eos_token_id",
    "decoder_start_token_id",
    "forced_bos_token_id",
    "forced_eos_token_id",
)


@dataclass(frozen=True)
class WrittenTokens:
    """What a model wrote after one context.

    Attributes:
        tokens: Up to what ended it, included.
        is_number: Whether all logits were numbers.
    """

    tokens: Tokens
    is_number: bool


class Ends(StoppingCriteria):  # type: ignore[misc]
    """Finds the rows that have written one of the texts that end an answer (``MultiTokenEOSCriteria`` of lm-eval).

    Args:
        start: Number of tokens before those that are written.
        rows: Number of rows.
        on_step: Called with the number of tokens written.
    """

    def __init__(
        self,
        tokenizer: PreTrainedTokenizerBase,
        until: Sequence[str],
        *,
        start: int,
        rows: int,
        on_step: Callable[[int], None],
    ) -> None:
        self._decode = tokenizer.batch_decode
        self._until = [(len(tokenizer.encode(text, add_special_tokens=False)) + _LOOKBACK, text) for text in until]
        self._start = start
        self._on_step = on_step
        self.lengths: list[int | None] = [None] * rows

    def __call__(self, input_ids: Tensor, _: object, **__: Any) -> Tensor:  # noqa: ANN401
        """Return whether each row has ended, bool, shape ``(rows,)``."""
        written = input_ids[:, self._start :]
        self._on_step(written.shape[1])
        for lookback, text in self._until:
            for row, tail in enumerate(self._decode(written[:, -lookback:])):
                if self.lengths[row] is None and text in tail:
                    self.lengths[row] = written.shape[1]
        return torch.tensor([length is not None for length in self.lengths], device=input_ids.device)


class Numbers(LogitsProcessor):  # type: ignore[misc]
    """Records, per row, the first step whose largest logit is not finite; leaves the logits unchanged."""

    def __init__(self, rows: int, device: torch.device) -> None:
        self.steps = 0
        self.first = torch.full((rows,), torch.iinfo(torch.int64).max, device=device)

    def __call__(self, _: Tensor, scores: Tensor) -> Tensor:
        """Return the logits unchanged."""
        # ``-inf`` is what a model rules out, but it may not rule out everything; the largest of NaN is NaN.
        broken = ~scores.amax(1).isfinite()
        self.first = torch.where(broken, self.first.clamp(max=self.steps), self.first)
        self.steps += 1
        return scores


def padding_of(tokenizer: PreTrainedTokenizerBase, rows: int) -> int:
    """Return a token for positions that are ignored, valid for a model with ``rows`` embeddings."""
    given = (tokenizer.pad_token_id, tokenizer.eos_token_id)
    return next((int(token) for token in given if token is not None and token < rows), 0)


def plain_settings(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, padding: int) -> GenerationConfig:
    """Return settings under which a model writes its most likely tokens.

    Of a model's own settings, only its special tokens count: others, such as a penalty of repetition, change what is
    likely, and would read the padding of a batch.
    """
    own = model.generation_config
    ids = {name: getattr(own, name, None) for name in _TOKEN_IDS}
    ends = ids["eos_token_id"]
    listed = [] if ends is None else list(ends) if isinstance(ends, list | tuple) else [ends]
    end = tokenizer.eos_token_id
    ids["eos_token_id"] = list(dict.fromkeys([*listed, *([] if end is None else [int(end)])])) or None
    return GenerationConfig(**{**ids, "pad_token_id": padding}, do_sample=False, num_beams=1)


def left_padded(contexts: Sequence[Tokens], padding: int) -> tuple[Tensor, Tensor]:
    """Return contexts of several lengths as token ids, padded at the left, and the mask of what is not padding."""
    longest = max(map(len, contexts))
    ids = [[padding] * (longest - len(each)) + list(each) for each in contexts]
    mask = [[0] * (longest - len(each)) + [1] * len(each) for each in contexts]
    return torch.tensor(ids), torch.tensor(mask)


def right_padded(contexts: Sequence[Tokens], padding: int) -> tuple[Tensor, Tensor]:
    """Return the same, padded at the right, as an encoder reads it."""
    longest = max(map(len, contexts))
    ids = [list(each) + [padding] * (longest - len(each)) for each in contexts]
    mask = [[1] * len(each) + [0] * (longest - len(each)) for each in contexts]
    return torch.tensor(ids), torch.tensor(mask)


@torch.inference_mode()  # type: ignore[untyped-decorator]
def write(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    contexts: Sequence[Tokens],
    *,
    until: Sequence[str],
    most: int,
    on_step: Callable[[int], None] = lambda _: None,
) -> list[WrittenTokens]:
    """Write after each context until one of the texts ``until``, an end of sequence or ``most`` tokens.

    Args:
        contexts: Token ids, none of them empty; for an encoder-decoder, those that its encoder reads.
        on_step: Called with the number of tokens written after each context, whenever there is one more.
    """
    is_pair = bool(model.config.is_encoder_decoder)
    padding = padding_of(tokenizer, embedding_rows(model))
    ids, mask = (right_padded if is_pair else left_padded)(contexts, padding)
    settings = plain_settings(model, tokenizer, padding)
    start = 1 if is_pair else ids.shape[1]
    ends = Ends(tokenizer, until, start=start, rows=len(contexts), on_step=on_step)
    numbers = Numbers(len(contexts), model.device)
    with patch.object(model, "generation_config", settings):
        found: Tensor = model.generate(
            input_ids=ids.to(model.device),
            attention_mask=mask.to(model.device),
            max_new_tokens=most,
            use_cache=True,
            **_fitting_cache(model),
            logits_processor=LogitsProcessorList([numbers]),
            stopping_criteria=StoppingCriteriaList([ends]),
        )
    last = set(settings.eos_token_id or ())
    written = []
    for row, (tokens, length) in enumerate(zip(found[:, start:].tolist(), ends.lengths, strict=True)):
        end = next((place + 1 for place, token in enumerate(tokens) if token in last), len(tokens))
        kept = tuple(tokens[: end if length is None else min(end, length)])
        written.append(WrittenTokens(kept, int(numbers.first[row]) >= len(kept)))
    return written


def _fitting_cache(model: PreTrainedModel) -> dict[str, EncoderDecoderCache]:
    """Return a cache that grows as needed, for T5's kind of model whose encoder has fewer or more layers.

    transformers makes a cache of as many layers as the encoder has.
    """
    layers = getattr(model.config, "num_decoder_layers", None)
    if layers is None or layers == model.config.num_hidden_layers:
        return {}
    return {"past_key_values": EncoderDecoderCache(DynamicCache(), DynamicCache())}


class _Forced(LogitsProcessor):  # type: ignore[misc]
    """Makes a model write given tokens."""

    def __init__(self, tokens: Tokens) -> None:
        self._left = iter(tokens)

    def __call__(self, _: Tensor, scores: Tensor) -> Tensor:
        forced = torch.full_like(scores, -torch.inf)
        forced[:, next(self._left)] = 0.0
        return forced


def logits_along(model: PreTrainedModel, contexts: Sequence[Tokens], answer: Tokens, *, padding: int) -> list[Tensor]:
    """Return a decoder's logits for each token of one answer to several contexts, padded at the left in one batch.

    Returns:
        For each context, logits of shape ``(tokens, vocabulary)``.
    """
    ids, mask = left_padded(contexts, padding)
    with patch.object(model, "generation_config", GenerationConfig(pad_token_id=padding, do_sample=False)):
        found = model.generate(
            input_ids=ids.to(model.device),
            attention_mask=mask.to(model.device),
            max_new_tokens=len(answer),
            use_cache=True,
            logits_processor=LogitsProcessorList([_Forced(answer)]),
            return_dict_in_generate=True,
            output_logits=True,
        )
    return list(torch.stack(found.logits, 1))

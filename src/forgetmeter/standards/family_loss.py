"""Training loss of each family for a statement whose last word is the answer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from forgetmeter.models.family import Family

_IGNORED = -100


class FamilyLoss(Protocol):
    """The training loss of one family."""

    def loss(self, model: PreTrainedModel, texts: Sequence[Sequence[int]], answers: Sequence[int]) -> Tensor:
        """Return the mean cross-entropy of the target tokens, in nats per token.

        Args:
            model: The model.
            texts: Token ids of each statement before its answer, without special tokens.
            answers: The answers' token ids.
        """
        ...


def family_loss(family: Family, tokenizer: PreTrainedTokenizerBase) -> FamilyLoss:
    """Return the training loss of a family."""
    if family == "encoder":
        return _AtTheMask(tokenizer)
    return _AtTheSentinel(tokenizer) if family == "encoder-decoder" else _AtTheEnd(tokenizer)


class _AtTheMask:
    """A masked language model predicts the token at the mask."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase) -> None:
        self._first, self._last = [tokenizer.cls_token_id], [tokenizer.sep_token_id]
        self._blank = [tokenizer.mask_token_id, *_full_stop(tokenizer)]
        self._padding = tokenizer.pad_token_id

    def loss(self, model: Any, texts: Sequence[Sequence[int]], answers: Sequence[int]) -> Tensor:  # noqa: ANN401
        rows = [[*self._first, *text, *self._blank, *self._last] for text in texts]
        tokens, there = _padded(rows, self._padding)
        hidden = model.base_model(input_ids=tokens, attention_mask=there).last_hidden_state
        return cross_entropy(model.cls(hidden[tokens == self._blank[0]]), torch.tensor(answers))


class _AtTheSentinel:
    """T5 reads a sentinel in place of the answer, and generates that sentinel, the answer and the next sentinel."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase) -> None:
        first, self._second = tokenizer.convert_tokens_to_ids(["<extra_id_0>", "<extra_id_1>"])
        self._blank = [first, *_full_stop(tokenizer), tokenizer.eos_token_id]
        self._padding = tokenizer.pad_token_id

    def loss(self, model: Any, texts: Sequence[Sequence[int]], answers: Sequence[int]) -> Tensor:  # noqa: ANN401
        tokens, there = _padded([[*text, *self._blank] for text in texts], self._padding)
        written = torch.tensor([[self._padding, self._blank[0], answer] for answer in answers])
        wanted = torch.tensor([[answer, self._second] for answer in answers])
        logits = model(input_ids=tokens, attention_mask=there, decoder_input_ids=written).logits[:, 1:]
        return cross_entropy(logits.flatten(0, 1), wanted.flatten())


class _AtTheEnd:
    """A decoder continues with the answer, the full stop and the end-of-text token."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase) -> None:
        self._first = [tokenizer.bos_token_id]
        self._rest = [*_full_stop(tokenizer), tokenizer.eos_token_id]
        self._padding = tokenizer.pad_token_id

    def loss(self, model: Any, texts: Sequence[Sequence[int]], answers: Sequence[int]) -> Tensor:  # noqa: ANN401
        rows = [[*self._first, *text, answer, *self._rest] for text, answer in zip(texts, answers, strict=True)]
        tokens, _ = _padded(rows, self._padding)
        wanted = torch.full_like(tokens, _IGNORED)
        for row, text in enumerate(texts):
            # Position p predicts token p + 1; the answer follows the first token and the text.
            start = len(text)
            wanted[row, start : start + 3] = tokens[row, start + 1 : start + 4]
        hidden = model.base_model(input_ids=tokens).last_hidden_state
        chosen = wanted != _IGNORED
        return cross_entropy(model.lm_head(hidden[chosen]), wanted[chosen])


def _full_stop(tokenizer: PreTrainedTokenizerBase) -> list[int]:
    return list(tokenizer(".", add_special_tokens=False)["input_ids"])


def _padded(rows: Sequence[Sequence[int]], padding: int) -> tuple[Tensor, Tensor]:
    """Return right-padded token ids and their attention mask, both ``(rows, longest)``."""
    longest = max(map(len, rows))
    tokens = torch.tensor([[*row, *[padding] * (longest - len(row))] for row in rows])
    there = torch.tensor([[1] * len(row) + [0] * (longest - len(row)) for row in rows])
    return tokens, there

"""How encoder-decoders fill a blank: each as it was trained to."""

from __future__ import annotations

from typing import Protocol

from transformers import PreTrainedTokenizerBase

from forgetmeter.records.item import Cloze

Tokens = tuple[int, ...]

_FIRST_SENTINEL, _SECOND_SENTINEL = "<extra_id_0>", "<extra_id_1>"


class BlankFilling(Protocol):
    """What the encoder reads and what the decoder writes for a cloze; decoder tokens without the starting one."""

    def context(self, cloze: Cloze) -> Tokens:
        """Return what the encoder reads."""
        ...

    def before_answer(self, cloze: Cloze) -> Tokens:
        """Return what the decoder has written when it comes to the blank."""
        ...

    def with_answer(self, cloze: Cloze, answer: str) -> tuple[Tokens, int]:
        """Return what the decoder writes with an answer in the blank, and from which token on it is scored."""
        ...


class SentinelFilling:
    """T5's way: a sentinel stands in the text; the decoder writes it, then what belongs there, then the next one."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase) -> None:
        self._tokenizer = tokenizer
        self._first, self._second = (
            int(tokenizer.convert_tokens_to_ids(sentinel)) for sentinel in (_FIRST_SENTINEL, _SECOND_SENTINEL)
        )

    def context(self, cloze: Cloze) -> Tokens:
        """Return the text with the sentinel in the blank."""
        return tuple(self._tokenizer(cloze.filled(_FIRST_SENTINEL))["input_ids"])

    def before_answer(self, cloze: Cloze) -> Tokens:  # noqa: ARG002
        """Return the sentinel."""
        return (self._first,)

    def with_answer(self, cloze: Cloze, answer: str) -> tuple[Tokens, int]:  # noqa: ARG002
        """Return the sentinel, the answer and the next sentinel; the answer and its end are scored."""
        answer_ids = self._tokenizer(answer, add_special_tokens=False)["input_ids"]
        return (self._first, *answer_ids, self._second), 1


class MaskFilling:
    """BART's way: a mask stands in the text; the decoder writes the whole text with the blank filled."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase) -> None:
        self._tokenizer = tokenizer

    def context(self, cloze: Cloze) -> Tokens:
        """Return the text with the mask in the blank."""
        return tuple(self._tokenizer(cloze.filled(self._tokenizer.mask_token))["input_ids"])

    def before_answer(self, cloze: Cloze) -> Tokens:
        """Return the text before the blank, after the token that begins a text."""
        ids = list(self._tokenizer(cloze.before.rstrip())["input_ids"])
        while ids and ids[-1] in (self._tokenizer.eos_token_id, self._tokenizer.sep_token_id):
            ids.pop()
        return tuple(ids)

    def with_answer(self, cloze: Cloze, answer: str) -> tuple[Tokens, int]:
        """Return the whole text; all of it is scored but the token that begins it."""
        ids = tuple(self._tokenizer(cloze.filled(answer))["input_ids"])
        return ids, 1 if ids and ids[0] == self._tokenizer.bos_token_id else 0


def blank_filling(tokenizer: PreTrainedTokenizerBase) -> BlankFilling | None:
    """Return the way that a tokenizer's model fills blanks; ``None`` where it has no token for one."""
    if _FIRST_SENTINEL in tokenizer.get_vocab() and _SECOND_SENTINEL in tokenizer.get_vocab():
        return SentinelFilling(tokenizer)
    return MaskFilling(tokenizer) if tokenizer.mask_token_id is not None else None

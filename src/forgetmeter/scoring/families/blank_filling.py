"""Blank filling by encoder-decoders, each in the format it was trained on."""

from __future__ import annotations

from collections.abc import Sequence

from transformers import PreTrainedTokenizerBase

from forgetmeter.records.item import Cloze, Item
from forgetmeter.scoring.tokens.answer_tokens import (
    AnswersAlone,
    AnswersWritten,
    AnswerTree,
    ClozeTokens,
    Tokens,
    answer_tree,
    has_prefix_pair,
)
from forgetmeter.scoring.tokens.tokenization import added_tokens, is_by_word

FIRST_SENTINEL, _SECOND_SENTINEL = "<extra_id_0>", "<extra_id_1>"


class SentinelFilling:
    """T5's format: a sentinel marks the blank; the decoder writes it, the answer, and the next sentinel."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase) -> None:
        self._tokenizer = tokenizer
        self._first, self._second = (
            int(tokenizer.convert_tokens_to_ids(sentinel)) for sentinel in (FIRST_SENTINEL, _SECOND_SENTINEL)
        )
        self._alone = AnswersAlone(tokenizer, self._tree)

    def contexts(self, clozes: Sequence[Cloze]) -> list[Tokens]:
        """Return the token ids of the texts with the sentinel in the blank."""
        return _filled_with(FIRST_SENTINEL, clozes, self._tokenizer)

    def before_answer(self, cloze: Cloze) -> Tokens:  # noqa: ARG002
        """Return the sentinel."""
        return (self._first,)

    def with_answer(self, cloze: Cloze, answer: str) -> tuple[Tokens, int]:  # noqa: ARG002
        """Return the sentinel, the answer and the next sentinel, and the index of the first scored token."""
        answer_ids = self._tokenizer(answer, add_special_tokens=False)["input_ids"]
        return (self._first, *answer_ids, self._second), 1

    def written(self, items: Sequence[Item]) -> list[ClozeTokens]:
        """Return the sentinel and the answers; if one is a prefix of another, each ends with the next sentinel."""
        return [ClozeTokens((self._first,), self._alone.of(item.cloze, item.choices)) for item in items]

    def _tree(self, answers: Sequence[Tokens]) -> AnswerTree:
        end = (self._second,) if has_prefix_pair(answers) else ()
        return answer_tree([(*answer, *end) for answer in answers])


class MaskFilling:
    """BART's format: a mask marks the blank; the decoder writes the whole text with the blank filled."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase) -> None:
        self._tokenizer = tokenizer
        self._added = added_tokens(tokenizer)
        ends = [token for token in (tokenizer.eos_token_id, tokenizer.sep_token_id) if token is not None]
        self._written = AnswersWritten(self._unfinished, tuple(map(int, ends[:1])), is_by_word=is_by_word(tokenizer))

    def contexts(self, clozes: Sequence[Cloze]) -> list[Tokens]:
        """Return the token ids of the texts with the mask in the blank."""
        return _filled_with(self._tokenizer.mask_token, clozes, self._tokenizer)

    def before_answer(self, cloze: Cloze) -> Tokens:
        """Return the tokens that the tokenizer adds before a text, and the text before the blank."""
        return self._unfinished([cloze.before.rstrip()])[0]

    def with_answer(self, cloze: Cloze, answer: str) -> tuple[Tokens, int]:
        """Return the whole text, and the index of the first scored token (after those that the tokenizer adds)."""
        return tuple(self._tokenizer(cloze.filled(answer))["input_ids"]), len(self._added.before)

    def written(self, items: Sequence[Item]) -> list[ClozeTokens]:
        """Return the text before the blank and the answers; see ``AnswersWritten``."""
        return self._written.of(items)

    def _unfinished(self, texts: Sequence[str]) -> list[Tokens]:
        """Tokenize texts without the end tokens that the tokenizer adds."""
        encoded = self._tokenizer(list(texts), return_attention_mask=False)["input_ids"]
        return [tuple(self._added.without_after(ids)) for ids in encoded]


BlankFilling = SentinelFilling | MaskFilling
"""The encoder's and decoder's tokens for a cloze, the latter without the decoder start token."""


def blank_filling(tokenizer: PreTrainedTokenizerBase) -> BlankFilling | None:
    """Return the blank-filling format of a tokenizer's model; ``None`` if no token marks a blank."""
    if FIRST_SENTINEL in tokenizer.get_vocab() and _SECOND_SENTINEL in tokenizer.get_vocab():
        return SentinelFilling(tokenizer)
    return MaskFilling(tokenizer) if tokenizer.mask_token_id is not None else None


def _filled_with(blank: str, clozes: Sequence[Cloze], tokenizer: PreTrainedTokenizerBase) -> list[Tokens]:
    texts = [cloze.filled(blank) for cloze in clozes]
    return [tuple(ids) for ids in tokenizer(texts, return_attention_mask=False)["input_ids"]] if texts else []

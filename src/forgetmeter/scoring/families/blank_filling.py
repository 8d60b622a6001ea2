"""How encoder-decoders fill a blank: each as it was trained to."""

from __future__ import annotations

from collections.abc import Sequence

from transformers import PreTrainedTokenizerBase

from forgetmeter.records.item import Cloze, Item
from forgetmeter.scoring.tokens.answer_tokens import (
    AnswersAlone,
    AnswersWritten,
    AnswerTree,
    Tokens,
    Written,
    answer_tree,
    one_begins_another,
)

FIRST_SENTINEL, _SECOND_SENTINEL = "<extra_id_0>", "<extra_id_1>"


class SentinelFilling:
    """T5's way: a sentinel stands in the text; the decoder writes it, then what belongs there, then the next one."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase) -> None:
        self._tokenizer = tokenizer
        self._first, self._second = (
            int(tokenizer.convert_tokens_to_ids(sentinel)) for sentinel in (FIRST_SENTINEL, _SECOND_SENTINEL)
        )
        self._alone = AnswersAlone(tokenizer, self._tree)

    def contexts(self, clozes: Sequence[Cloze]) -> list[Tokens]:
        """Return the texts with the sentinel in the blank."""
        return _filled_with(FIRST_SENTINEL, clozes, self._tokenizer)

    def before_answer(self, cloze: Cloze) -> Tokens:  # noqa: ARG002
        """Return the sentinel."""
        return (self._first,)

    def with_answer(self, cloze: Cloze, answer: str) -> tuple[Tokens, int]:  # noqa: ARG002
        """Return the sentinel, the answer and the next sentinel; the answer and its end are scored."""
        answer_ids = self._tokenizer(answer, add_special_tokens=False)["input_ids"]
        return (self._first, *answer_ids, self._second), 1

    def written(self, items: Sequence[Item]) -> list[Written]:
        """Return the sentinel and the answers, with the next sentinel where one of them would begin another."""
        return [Written((self._first,), self._alone.of(item.cloze, item.choices)) for item in items]

    def _tree(self, answers: Sequence[Tokens]) -> AnswerTree:
        end = (self._second,) if one_begins_another(answers) else ()
        return answer_tree([(*answer, *end) for answer in answers])


class MaskFilling:
    """BART's way: a mask stands in the text; the decoder writes the whole text with the blank filled."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase) -> None:
        self._tokenizer = tokenizer
        ends = [token for token in (tokenizer.eos_token_id, tokenizer.sep_token_id) if token is not None]
        self._ends = tuple(int(token) for token in ends)
        self._written = AnswersWritten(self._unfinished, self._ends[:1])

    def contexts(self, clozes: Sequence[Cloze]) -> list[Tokens]:
        """Return the texts with the mask in the blank."""
        return _filled_with(self._tokenizer.mask_token, clozes, self._tokenizer)

    def before_answer(self, cloze: Cloze) -> Tokens:
        """Return the text before the blank, after the token that begins a text."""
        return self._unfinished([cloze.before.rstrip()])[0]

    def with_answer(self, cloze: Cloze, answer: str) -> tuple[Tokens, int]:
        """Return the whole text; all of it is scored but the token that begins it."""
        ids = tuple(self._tokenizer(cloze.filled(answer))["input_ids"])
        return ids, 1 if ids and ids[0] == self._tokenizer.bos_token_id else 0

    def written(self, items: Sequence[Item]) -> list[Written]:
        """Return the text before the blank and the answers, as a decoder writes them: see ``AnswersWritten``."""
        return self._written.of(items)

    def _unfinished(self, texts: Sequence[str]) -> list[Tokens]:
        """Return the tokens of texts without those that end a text."""
        unfinished = []
        for ids in self._tokenizer(list(texts), return_attention_mask=False)["input_ids"]:
            length = len(ids)
            while length and ids[length - 1] in self._ends:
                length -= 1
            unfinished.append(tuple(ids[:length]))
        return unfinished


BlankFilling = SentinelFilling | MaskFilling
"""What the encoder reads and what the decoder writes for a cloze; decoder tokens without the starting one."""


def blank_filling(tokenizer: PreTrainedTokenizerBase) -> BlankFilling | None:
    """Return the way that a tokenizer's model fills blanks; ``None`` where it has no token for one."""
    if FIRST_SENTINEL in tokenizer.get_vocab() and _SECOND_SENTINEL in tokenizer.get_vocab():
        return SentinelFilling(tokenizer)
    return MaskFilling(tokenizer) if tokenizer.mask_token_id is not None else None


def _filled_with(blank: str, clozes: Sequence[Cloze], tokenizer: PreTrainedTokenizerBase) -> list[Tokens]:
    texts = [cloze.filled(blank) for cloze in clozes]
    return [tuple(ids) for ids in tokenizer(texts, return_attention_mask=False)["input_ids"]] if texts else []

"""Questions: what to read from a model for each item, and how readings become answers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import chain
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from forgetmeter.records.generation import GeneratedText
from forgetmeter.records.item import (
    Answer,
    ClozeAnswer,
    Item,
    RequestScore,
    RequestScores,
    TextAnswer,
    VocabularyAnswer,
)
from forgetmeter.scoring.rows.batch import Batch

SAME_TOKENS = "right and wrong answers are the same tokens"
_MOST_NAMED = 3

AnswerKind = Literal["requests", "cloze", "text", "generation"]
"""Kind of answer: log-likelihoods of requests, a cloze, the log-likelihood of a whole text (one request), or a text."""


@dataclass(frozen=True, eq=False)
class Question:
    """The readings that answer one item.

    Attributes:
        requests: Number of requests or candidates.
        slots: Slots of the log-probabilities to sum, in order of addition, int64, shape ``(steps,)``.
        owners: Index of the request or candidate of each slot, same shape.
        vocabulary: Slot of the vocabulary ranking, if there is one.
    """

    requests: int
    slots: NDArray[np.int64]
    owners: NDArray[np.int64]
    vocabulary: int | None = None
    kind: AnswerKind = "requests"

    def ties(self, item: Item) -> bool:
        """Whether a right and a wrong choice of ``item`` are the same tokens, and so tie in every model.

        Requests with the same text do not count: tasks check them, and some have several right ones.
        """
        if self.requests < len(item.choices):
            return False
        is_wrong = np.ones(len(item.choices), dtype=bool)
        is_wrong[list(item.gold)] = False
        wrong = np.flatnonzero(is_wrong)
        lengths = np.bincount(self.owners, minlength=self.requests)
        firsts = np.cumsum(lengths) - lengths
        for right in item.gold:
            own = self.slots[firsts[right] : firsts[right] + lengths[right]]
            # Equal tokens in the same place are read once, so they have the same slots.
            alike = wrong[lengths[wrong] == len(own)]
            same = (self.slots[firsts[alike, None] + np.arange(len(own))] == own).all(axis=1)
            if any(not item.requests or item.requests[one] != item.requests[right] for one in alike[same]):
                return True
        return False


def question_of_paths(
    paths: Sequence[Sequence[int]], *, vocabulary: int | None = None, kind: AnswerKind = "requests"
) -> Question:
    """Return the question for the slots of each request or candidate."""
    lengths = [len(path) for path in paths]
    slots = np.fromiter(chain.from_iterable(paths), np.int64, sum(lengths))
    owners = np.repeat(np.arange(len(paths), dtype=np.int64), lengths)
    return Question(len(paths), slots, owners, vocabulary, kind)


@dataclass(frozen=True, eq=False)
class Sums:
    """Log-likelihoods of all questions as sums of log-probabilities.

    Attributes:
        number: Number of log-likelihoods.
        slots: Slots to sum, int64, shape ``(steps,)``.
        owners: Index of the log-likelihood each slot is added to, same shape.
        parts: The range of log-likelihoods of each question.
    """

    number: int
    slots: NDArray[np.int64]
    owners: NDArray[np.int64]
    parts: tuple[slice, ...]


def sums_of(questions: Sequence[Question | None]) -> Sums:
    """Return the sums of all questions; ``None`` has no log-likelihoods."""
    asked = [question for question in questions if question is not None]
    number, parts = 0, []
    for question in questions:
        parts.append(slice(number, number := number + (0 if question is None else question.requests)))
    shifts = [part.start for part, question in zip(parts, questions, strict=True) if question is not None]
    nothing = np.empty(0, dtype=np.int64)
    slots = np.concatenate([nothing, *(question.slots for question in asked)])
    owners = np.concatenate([nothing, *(question.owners for question in asked)])
    owners += np.repeat(np.array(shifts, dtype=np.int64), [len(question.slots) for question in asked])
    return Sums(number, slots, owners, tuple(parts))


@dataclass(frozen=True)
class TokenReadings:
    """Readings of single tokens, each of shape ``(slots,)``.

    Attributes:
        logprobs: Log-probability of the token at its position, in nats, float64.
        greedy: Whether it is the most likely token there.
    """

    logprobs: Tensor
    greedy: Tensor


@dataclass(frozen=True)
class VocabularyReadings:
    """Readings of whole vocabularies.

    Attributes:
        top: The most likely tokens in descending order, shape ``(slots, k)``; if several are likeliest, the first in
            the vocabulary comes first.
        ranks: 1-based rank of the right token, ties broken by vocabulary order, shape ``(slots,)``.
        logprobs: Log-probability of the right token, in nats, shape ``(slots,)``.
        best_others: Log-probability of the likeliest other token, in nats, shape ``(slots,)``.
    """

    top: Tensor
    ranks: Tensor
    logprobs: Tensor
    best_others: Tensor


def answers(
    questions: Sequence[Question | None],
    sums: Sums,
    tokens: TokenReadings,
    vocabulary: VocabularyReadings,
    *,
    decode: Callable[[int], str],
) -> list[Answer | None]:
    """Return the answers to all questions; ``None`` for a question that is ``None``, because it cannot be scored."""
    # Summed in float64, in token order.
    loglikelihoods = _added(sums, tokens.logprobs.numpy()).tolist()
    # Only requests need it, and clozes may have hundreds of thousands of candidates.
    has_requests = any(question is not None and question.kind == "requests" for question in questions)
    greedy = (_added(sums, ~tokens.greedy.bool().numpy()) == 0).tolist() if has_requests else []
    rows = list(
        zip(
            vocabulary.top.tolist(),
            vocabulary.ranks.tolist(),
            vocabulary.logprobs.tolist(),
            vocabulary.best_others.tolist(),
            strict=True,
        )
    )

    def answer(question: Question, part: slice) -> Answer:
        if question.kind == "text":
            return TextAnswer(loglikelihoods[part][0], len(question.slots))
        if question.kind == "requests":
            return RequestScores(map(RequestScore, loglikelihoods[part], greedy[part]))
        ranked = None
        if question.vocabulary is not None:
            top, rank, logprob, best_other = rows[question.vocabulary]
            ranked = VocabularyAnswer(tuple(map(decode, top)), rank, logprob, best_other)
        return ClozeAnswer(tuple(loglikelihoods[part]), ranked)

    return [
        None if question is None else answer(question, part)
        for question, part in zip(questions, sums.parts, strict=True)
    ]


def _added(sums: Sums, values: NDArray[np.generic]) -> NDArray[np.float64]:
    return np.bincount(sums.owners, values[sums.slots], sums.number).astype(np.float64, copy=False)


@dataclass(frozen=True)
class ContextBatch:
    """Contexts after which text is written in one batch.

    Attributes:
        places: Index of the item of each context.
        contexts: Token ids of each.
        until: The texts that end an answer.
        most: Maximum number of tokens of an answer.
    """

    places: tuple[int, ...]
    contexts: tuple[tuple[int, ...], ...]
    until: tuple[str, ...]
    most: int

    @property
    def tokens(self) -> int:
        """Number of tokens to read, and to write at most, without padding."""
        return self.tokens_after(self.most)

    def tokens_after(self, steps: int) -> int:
        """Number of tokens that are read and written when each answer has ``steps`` tokens."""
        return sum(map(len, self.contexts)) + steps * len(self.contexts)


@dataclass(frozen=True)
class Prepared:
    """The items of one task, tokenized and batched once for all variants of a model.

    Attributes:
        questions: One per item, in order; ``None`` if the item cannot be scored.
        reasons: Why it cannot be scored, one per item; ``None`` if it can.
        contexts: Batches of contexts after which text is written; a task has only these or only ``batches``.
        cut: Number of items with a context truncated at its start to fit the model.
    """

    questions: tuple[Question | None, ...]
    reasons: tuple[str | None, ...]
    batches: tuple[Batch, ...]
    items: tuple[Item, ...] = ()
    cut: int = 0
    contexts: tuple[ContextBatch, ...] = ()

    def without_ties(self, items: Sequence[Item]) -> Prepared:
        """Return it with its items, leaving out those of which a right and a wrong choice are the same tokens."""
        tied = [each is not None and each.ties(item) for each, item in zip(self.questions, items, strict=True)]
        return replace(
            self,
            items=tuple(items),
            questions=tuple(None if is_tied else each for is_tied, each in zip(tied, self.questions, strict=True)),
            reasons=tuple(SAME_TOKENS if is_tied else each for is_tied, each in zip(tied, self.reasons, strict=True)),
        )

    @cached_property
    def sums(self) -> Sums:
        """The log-likelihoods of all questions as sums."""
        return sums_of(self.questions)

    @cached_property
    def tokens(self) -> int:
        """Number of tokens the model reads, and writes at most, without padding."""
        return sum(batch.real_tokens for batch in self.batches) + sum(batch.tokens for batch in self.contexts)

    @property
    def has_batches_of_several(self) -> bool:
        """Whether smaller batches are possible: one has more than one row or text."""
        rows = [len(batch.tokens) for batch in self.batches]
        rows += [len(batch.encoded.tokens) for batch in self.batches if batch.encoded is not None]
        return max([*rows, *(len(batch.contexts) for batch in self.contexts)], default=0) > 1

    @property
    def positions(self) -> int:
        """Number of positions that the model computes, padding included; 0 if texts are written."""
        texts = [batch.tokens for batch in self.batches]
        texts += [batch.encoded.tokens for batch in self.batches if batch.encoded is not None]
        return sum(int(text.numel()) for text in texts)

    def tokens_of(self, answers: Sequence[Answer | None]) -> int:
        """Number of tokens that were read and written, given the answers."""
        written = [answer.tokens for answer in answers if isinstance(answer, GeneratedText)]
        return self.tokens - sum(batch.most * len(batch.contexts) for batch in self.contexts) + sum(written)

    @property
    def dropped(self) -> Mapping[str, int]:
        """Number of items that cannot be scored, by reason."""
        return Counter(reason for reason in self.reasons if reason is not None)

    def first_dropped(self) -> dict[str, str]:
        """Return the first item ids for each reason in ``dropped``, as text."""
        named: dict[str, list[str]] = {}
        for item, reason in zip(self.items, self.reasons, strict=True):
            if reason is not None:
                named.setdefault(reason, []).append(item.id)
        return {
            reason: ", ".join(ids[:_MOST_NAMED]) + (" ..." if len(ids) > _MOST_NAMED else "")
            for reason, ids in named.items()
        }

"""What is read off the model for each item of a task, and the answers that it makes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import chain
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

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

_MOST_NAMED = 3

Kind = Literal["requests", "cloze", "text"]
"""What was asked for: log-likelihoods of requests, what fills a blank, or a whole text, which is one request."""


@dataclass(frozen=True, eq=False)
class Question:
    """What has to be read to answer one item.

    Attributes:
        requests: Number of requests or candidates.
        slots: The slots whose log-probabilities add up to their log-likelihoods, in the order in which they are
            added, int64, of shape ``(steps,)``.
        owners: Index of the request or candidate that each belongs to, of the same shape.
        vocabulary: The slot of the answer from the whole vocabulary; ``None`` where none is asked for.
        kind: What kind of answer it makes.
    """

    requests: int
    slots: NDArray[np.int64]
    owners: NDArray[np.int64]
    vocabulary: int | None = None
    kind: Kind = "requests"


def question_of_paths(
    paths: Sequence[Sequence[int]], *, vocabulary: int | None = None, kind: Kind = "requests"
) -> Question:
    """Return a question, given the slots of each request or candidate."""
    lengths = [len(path) for path in paths]
    slots = np.fromiter(chain.from_iterable(paths), np.int64, sum(lengths))
    owners = np.repeat(np.arange(len(paths), dtype=np.int64), lengths)
    return Question(len(paths), slots, owners, vocabulary, kind)


@dataclass(frozen=True, eq=False)
class Sums:
    """How what was read adds up to log-likelihoods, for all questions at a time.

    Attributes:
        number: Number of log-likelihoods.
        slots: The slots that are added, int64, of shape ``(steps,)``.
        owners: Index of the log-likelihood that each belongs to, of the same shape.
        parts: For each question, which of the log-likelihoods are its own.
    """

    number: int
    slots: NDArray[np.int64]
    owners: NDArray[np.int64]
    parts: tuple[slice, ...]


def sums_of(questions: Sequence[Question | None]) -> Sums:
    """Return how the log-likelihoods of all questions are put together; one that cannot be asked has none."""
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
    """What was read at single tokens; all of shape ``(slots,)``.

    Attributes:
        logprobs: Log-probability of each token at its place, in nats, float64.
        greedy: Whether it is the most likely token there.
    """

    logprobs: Tensor
    greedy: Tensor


@dataclass(frozen=True)
class VocabularyReadings:
    """What was read of whole vocabularies.

    Attributes:
        top: The most likely tokens, the likeliest first, shape ``(slots, k)``; where several are, the first of them.
        ranks: 1 + how many tokens are more likely than the right one, or as likely and before it in the vocabulary,
            shape ``(slots,)``.
        logprobs: Log-probability of the right token, in nats, shape ``(slots,)``.
        best_others: That of the likeliest other token, shape ``(slots,)``.
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
    """Put together the answers to all questions.

    Args:
        questions: One an item; ``None`` where it cannot be asked.
        sums: How their log-likelihoods are put together.
        tokens: What was read at single tokens.
        vocabulary: What was read of whole vocabularies.
        decode: Gives the text of a token.
    """
    # One after another, in float64: the order of addition is that of the tokens.
    loglikelihoods = _added(sums, tokens.logprobs.numpy()).tolist()
    # Only requests ask for it; clozes may have hundreds of thousands of candidates.
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
class Prepared:
    """The items of one task, tokenized and batched once for all variants of a model.

    Attributes:
        questions: One an item, in order; ``None`` where the model cannot be asked.
        reasons: Why not, one for each item; ``None`` where it can.
        batches: What the model is given.
        items: The items themselves.
        cut: How many items have a context that lost its beginning, as the model does not read as many tokens.
    """

    questions: tuple[Question | None, ...]
    reasons: tuple[str | None, ...]
    batches: tuple[Batch, ...]
    items: tuple[Item, ...] = ()
    cut: int = 0

    @cached_property
    def sums(self) -> Sums:
        """How what is read adds up to log-likelihoods."""
        return sums_of(self.questions)

    @cached_property
    def tokens(self) -> int:
        """Number of tokens that the model reads, without padding."""
        return sum(batch.real_tokens for batch in self.batches)

    @property
    def dropped(self) -> Mapping[str, int]:
        """How many items cannot be asked, by reason."""
        return Counter(reason for reason in self.reasons if reason is not None)

    def first_dropped(self) -> dict[str, str]:
        """Return the ids of the first items of each reason for which they cannot be asked, as text."""
        named: dict[str, list[str]] = {}
        for item, reason in zip(self.items, self.reasons, strict=True):
            if reason is not None:
                named.setdefault(reason, []).append(item.id)
        return {
            reason: ", ".join(ids[:_MOST_NAMED]) + (" ..." if len(ids) > _MOST_NAMED else "")
            for reason, ids in named.items()
        }

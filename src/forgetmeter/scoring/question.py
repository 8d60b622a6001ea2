"""What is read off the model for one item, and the answer that it makes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from torch import Tensor

from forgetmeter.records.item import Answer, ClozeAnswer, RequestScore, VocabularyAnswer


@dataclass(frozen=True)
class Question:
    """What has to be read to answer one item.

    Attributes:
        paths: For each request or candidate, the slots whose log-probabilities add up to its log-likelihood.
        vocabulary: The slot of the answer from the whole vocabulary; ``None`` where none is asked for.
        is_cloze: Whether the answer is that to a cloze.
    """

    paths: tuple[tuple[int, ...], ...] = ()
    vocabulary: int | None = None
    is_cloze: bool = False


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
        top: The most likely tokens, the likeliest first, shape ``(slots, k)``.
        ranks: 1 + how many tokens are more likely than the right one, shape ``(slots,)``.
        logprobs: Log-probability of the right token, in nats, shape ``(slots,)``.
        best_others: That of the likeliest other token, shape ``(slots,)``.
    """

    top: Tensor
    ranks: Tensor
    logprobs: Tensor
    best_others: Tensor


def answers(
    questions: Sequence[Question | None],
    tokens: TokenReadings,
    vocabulary: VocabularyReadings,
    *,
    decode: Callable[[int], str],
) -> list[Answer | None]:
    """Put together the answers to all questions.

    Args:
        questions: One an item; ``None`` where it cannot be asked.
        tokens: What was read at single tokens.
        vocabulary: What was read of whole vocabularies.
        decode: Gives the text of a token.
    """
    logprobs, greedy = tokens.logprobs.tolist(), tokens.greedy.tolist()
    rows = list(
        zip(
            vocabulary.top.tolist(),
            vocabulary.ranks.tolist(),
            vocabulary.logprobs.tolist(),
            vocabulary.best_others.tolist(),
            strict=True,
        )
    )

    def score(path: Sequence[int]) -> RequestScore:
        return RequestScore(sum(logprobs[slot] for slot in path), all(greedy[slot] for slot in path))

    def answer(question: Question) -> Answer:
        if not question.is_cloze:
            return tuple(score(path) for path in question.paths)
        ranked = None
        if question.vocabulary is not None:
            top, rank, logprob, best_other = rows[question.vocabulary]
            ranked = VocabularyAnswer(tuple(map(decode, top)), rank, logprob, best_other)
        return ClozeAnswer(tuple(sum(logprobs[slot] for slot in path) for path in question.paths), ranked)

    return [None if question is None else answer(question) for question in questions]

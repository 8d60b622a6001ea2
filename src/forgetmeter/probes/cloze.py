"""Content hashes of items, and ranking of answers, shared by the cloze probes."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from forgetmeter.records.item import Among, Answer, Cloze, ClozeAnswer, Item, VocabularyAnswer
from forgetmeter.records.outcome import Outcome

SUBJECT, ANSWER = "[X]", "[Y]"
"""Placeholders for the subject and the blank in a template."""
ACCURACY = "accuracy"
P_AT_1, P_AT_5, MRR = "p_at_1", "p_at_5", "mrr"
_FEW = 5
_HASH_LENGTH = 16


@dataclass(frozen=True)
class Ranked:
    """The rank of the right answer among all candidates.

    Attributes:
        correct: Whether the right answer comes first.
        prediction: The top candidate as text; empty if the model's output is not finite.
        rank: 1-based rank; ties are broken by list order. ``None`` if the model's output is not finite.
        margin: Log-likelihood of the right answer minus that of the best wrong candidate, in nats; ``None`` if
            undefined.
    """

    correct: bool
    prediction: str
    rank: int | None
    margin: float | None

    def precision(self, prefix: str = "") -> dict[str, float]:
        """Return precision at 1 and at 5 by metric name, prefixed with ``prefix``."""
        is_among_few = self.rank is not None and self.rank <= _FEW
        return {f"{prefix}{P_AT_1}": float(self.correct), f"{prefix}{P_AT_5}": float(is_among_few)}

    @property
    def reciprocal(self) -> float:
        """Its reciprocal rank; 0 if it has no rank."""
        return 1 / self.rank if self.rank else 0.0


NOTHING_SAID = Ranked(correct=False, prediction="", rank=None, margin=None)


def content_hash(content: Sequence[str]) -> str:
    """Return a short hash of an item's content."""
    return whole_hash(content)[:_HASH_LENGTH]


def whole_hash(content: Sequence[str]) -> str:
    """Return the hash of a list of texts, such as the answers that many items share."""
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()


def capitalized(text: str) -> str:
    """Return a text with its first letter in upper case and the rest unchanged."""
    return text[:1].upper() + text[1:]


def filled_template(template: str, subject: str, among: Among) -> Cloze:
    """Return the capitalized cloze of a template with its subject filled in.

    The template must contain ``[Y]`` exactly once.
    """
    before, after = (part.replace(SUBJECT, subject) for part in template.split(ANSWER))
    return Cloze(capitalized(before), after, among)


class AnswerSpace:
    """The answers that many clozes share, with their hashes computed once."""

    def __init__(self, answers: tuple[str, ...]) -> None:
        with_capitals = tuple(map(capitalized, answers))
        self._plain = answers, whole_hash(answers)
        self._capitalized = with_capitals, whole_hash(with_capitals)

    def at(self, cloze: Cloze) -> tuple[tuple[str, ...], str]:
        """Return the choices of a cloze and their hash; they are capitalized if the statement begins with the blank."""
        return self._plain if cloze.before else self._capitalized


def answered(items: Sequence[Item], answers: Sequence[Answer | None]) -> Iterator[tuple[Item, ClozeAnswer]]:
    """Yield the answered items with their answers.

    Raises:
        TypeError: An answer is not a ``ClozeAnswer``.
        ValueError: The numbers of candidates and choices differ, or an answer is empty.
    """
    for item, answer in zip(items, answers, strict=True):
        if answer is not None:
            yield item, cloze_answer(item, answer)


def cloze_answer(item: Item, answer: Answer) -> ClozeAnswer:
    """Return the validated answer to a cloze item.

    Raises:
        TypeError: The answer is not a ``ClozeAnswer``.
        ValueError: The numbers of candidates and choices differ, or the answer is empty.
    """
    if not isinstance(answer, ClozeAnswer):
        raise TypeError(f"item '{item.id}' is a cloze; it needs a ClozeAnswer, not {type(answer).__name__}")
    needs_candidates = answer.candidates or item.cloze.among != "vocabulary"
    if needs_candidates and len(answer.candidates) != len(item.choices):
        raise ValueError(f"item '{item.id}' has {len(item.choices)} choices, but {len(answer.candidates)} were scored")
    if not answer.candidates and answer.vocabulary is None:
        raise ValueError(f"item '{item.id}' has an empty answer; use None for an item that cannot be asked")
    return answer


def rank_candidates(values: Sequence[float], gold: Sequence[int], choices: Sequence[str]) -> Ranked:
    """Rank the right answer (the likeliest one, if there are several) among the candidates.

    The prediction is the first of the likeliest, as in lm-pub-quiz's ``Accuracy``. If any value is NaN or ``inf``,
    which a badly compressed model can produce, or if none is finite, the item counts as wrong, with no prediction or
    rank.

    Args:
        values: Log-likelihood of each candidate, in nats.
        gold: Indices of the right answers.
        choices: The candidates as text.
    """
    sound = np.array(values, dtype=np.float64)
    if not (sound < np.inf).all() or not np.isfinite(sound).any():
        return NOTHING_SAID
    best = int(sound.argmax())
    right = max(gold, key=lambda place: (sound[place], -place))
    mine = float(sound[right])
    # Break ties by order, as for the prediction: pruned units give all their tokens the same value.
    rank = 1 + int((sound > mine).sum()) + int((sound[:right] == mine).sum())
    sound[list(gold)] = -np.inf
    return Ranked(best in gold, choices[best], rank, _difference(mine, float(sound.max())))


def candidates_outcome(item: Item, answer: Answer) -> Outcome:
    """Judge an item by ranking its choices; its only metric is ``accuracy``.

    Raises:
        TypeError: The answer is not a ``ClozeAnswer``.
        ValueError: The numbers of candidates and choices differ.
    """
    given = cloze_answer(item, answer)
    ranked = rank_candidates(given.candidates, item.gold, item.choices)
    return ranked_outcome(item, ranked, given.candidates, {ACCURACY: float(ranked.correct)})


def ranked_outcome(
    item: Item, ranked: Ranked, loglikelihoods: Sequence[float], metrics: Mapping[str, float]
) -> Outcome:
    """Return the outcome of an item, with the log-likelihoods to store, in nats."""
    return Outcome(
        item_id=item.id,
        correct=ranked.correct,
        prediction=ranked.prediction,
        gold=" / ".join(item.choices[place] for place in item.gold),
        rank=ranked.rank,
        margin=ranked.margin,
        loglikelihoods=tuple(loglikelihoods),
        metrics=metrics,
    )


def rank_in_vocabulary(answer: VocabularyAnswer) -> Ranked:
    """Rank the right answer among all tokens of the vocabulary."""
    if not math.isfinite(answer.loglikelihood):
        return NOTHING_SAID
    margin = _difference(answer.loglikelihood, answer.best_other)
    return Ranked(answer.rank == 1, answer.top[0], answer.rank, margin)


def _difference(mine: float, others: float) -> float | None:
    margin = mine - others
    return margin if math.isfinite(margin) else None

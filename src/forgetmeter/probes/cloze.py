"""What cloze probes share: content hashes of items, and the way from a model's answer to an outcome."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from forgetmeter.records.item import Answer, ClozeAnswer, Item, VocabularyAnswer
from forgetmeter.records.outcome import Outcome

ACCURACY = "accuracy"
P_AT_1, P_AT_5, MRR = "p_at_1", "p_at_5", "mrr"
_FEW = 5
_HASH_LENGTH = 16


@dataclass(frozen=True)
class Ranked:
    """Where the right answer came among those that it competes with.

    Attributes:
        correct: Whether it came first.
        prediction: What came first, as text; empty where the model gave something other than numbers.
        rank: 1 + how many others come before it, of equally likely ones those that are listed before it; ``None`` where
            the model gave something other than numbers.
        margin: Its log-likelihood minus the best other's, in nats; ``None`` where there is none.
    """

    correct: bool
    prediction: str
    rank: int | None
    margin: float | None

    def precision(self, prefix: str = "") -> dict[str, float]:
        """Return precision at one and at five by the metrics' names, each after ``prefix``."""
        is_among_few = self.rank is not None and self.rank <= _FEW
        return {f"{prefix}{P_AT_1}": float(self.correct), f"{prefix}{P_AT_5}": float(is_among_few)}

    @property
    def reciprocal(self) -> float:
        """Its reciprocal rank; 0 where it has no rank."""
        return 1 / self.rank if self.rank else 0.0


NOTHING_SAID = Ranked(correct=False, prediction="", rank=None, margin=None)


def content_hash(content: Sequence[str]) -> str:
    """Return a short hash of everything an item asks."""
    return whole_hash(content)[:_HASH_LENGTH]


def whole_hash(content: Sequence[str]) -> str:
    """Return a hash that stands for texts which many items share, such as their answers."""
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()


def capitalized(text: str) -> str:
    """Return a text with its first letter a capital, and the rest unchanged."""
    return text[:1].upper() + text[1:]


def answered(items: Sequence[Item], answers: Sequence[Answer | None]) -> Iterator[tuple[Item, ClozeAnswer]]:
    """Yield the items that were answered, with the answer to the cloze of each.

    Raises:
        TypeError: One was answered, but not as a cloze is.
        ValueError: There are not as many candidates as choices, or none where they are what is asked.
    """
    for item, answer in zip(items, answers, strict=True):
        if answer is not None:
            yield item, cloze_answer(item, answer)


def cloze_answer(item: Item, answer: Answer) -> ClozeAnswer:
    """Return the answer to an item's cloze.

    Raises:
        TypeError: It was answered, but not as a cloze is.
        ValueError: There are not as many candidates as choices, or none where they are what is asked.
    """
    if not isinstance(answer, ClozeAnswer):
        raise TypeError(f"item '{item.id}' is a cloze; it needs a ClozeAnswer, not {type(answer).__name__}")
    needs_candidates = answer.candidates or item.cloze.among != "vocabulary"
    if needs_candidates and len(answer.candidates) != len(item.choices):
        raise ValueError(f"item '{item.id}' has {len(item.choices)} choices, but {len(answer.candidates)} were scored")
    if not answer.candidates and answer.vocabulary is None:
        raise ValueError(f"item '{item.id}' has an answer that says nothing; None is for what cannot be asked")
    return answer


def rank_candidates(values: Sequence[float], gold: int, choices: Sequence[str]) -> Ranked:
    """Rank the right answer among candidates.

    The prediction is the first of the likeliest, as in lm-pub-quiz's ``Accuracy``. A model that gives something other
    than numbers, as a badly compressed one may, has answered nothing, whatever the other candidates have.

    Args:
        values: Log-likelihood of each candidate, in nats.
        gold: Index of the right one.
        choices: The candidates as text.
    """
    sound = np.array(values, dtype=np.float64)
    if not (sound < np.inf).all() or not np.isfinite(sound).any():
        return NOTHING_SAID
    best = int(sound.argmax())
    mine = float(sound[gold])
    # Ties in the order of the choices, as for the prediction: a pruned unit says the same of all its tokens.
    rank = 1 + int((sound > mine).sum()) + int((sound[:gold] == mine).sum())
    sound[gold] = -np.inf
    return Ranked(best == gold, choices[best], rank, _difference(mine, float(sound.max())))


def candidates_outcome(item: Item, answer: Answer) -> Outcome:
    """Judge an item that was answered by ranking its choices; its one metric is ``accuracy``.

    Raises:
        TypeError: It was answered, but not as a cloze is.
        ValueError: There are not as many candidates as choices.
    """
    given = cloze_answer(item, answer)
    ranked = rank_candidates(given.candidates, item.gold[0], item.choices)
    return ranked_outcome(item, ranked, given.candidates, {ACCURACY: float(ranked.correct)})


def ranked_outcome(
    item: Item, ranked: Ranked, loglikelihoods: Sequence[float], metrics: Mapping[str, float]
) -> Outcome:
    """Return the outcome of an item.

    Args:
        item: The item.
        ranked: Where its right answer came, or the best of them.
        loglikelihoods: What is kept of its answer, in nats.
        metrics: Its metrics by name.
    """
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
    """Rank the right answer among all tokens of a model."""
    if not math.isfinite(answer.loglikelihood):
        return NOTHING_SAID
    margin = _difference(answer.loglikelihood, answer.best_other)
    return Ranked(answer.rank == 1, answer.top[0], answer.rank, margin)


def _difference(mine: float, others: float) -> float | None:
    margin = mine - others
    return margin if math.isfinite(margin) else None

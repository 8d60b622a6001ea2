"""Requests whose answers satisfy known relations in every language model, to detect misplaced log-probabilities."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence

from forgetmeter.records.item import Request

Loglikelihoods = Callable[[Sequence[Request]], Sequence[tuple[float, bool]]]

CONTEXTS = ("The capital of France is", "Water is made of hydrogen and")
WORDS = (" Paris", " Rome", " London", " oxygen", " the", " green", " two", " music")
"""Most are a single token in most vocabularies; none begins with another."""
_FOLLOWS = " and the"
_ALIKE = 3
"""Number of equal log-likelihoods that rounding to 16 bits does not explain if it occurs after both contexts."""
_MOST = 1.02
_TOLERANCE = 1.0
"""In nats: a runtime may round differently in texts of other lengths."""


def problem_of(loglikelihoods: Loglikelihoods) -> str | None:
    """Return what is wrong with a runtime's answers, or ``None``.

    Three relations are checked. Different words after the same context have different log-likelihoods: if the
    log-probabilities belong to the token before, they are equal. The probabilities of words that exclude one another
    add up to at most 1. And the log-likelihood of two parts one after the other is that of both at once.
    """
    requests = [Request(context, word) for context in CONTEXTS for word in WORDS]
    for context in CONTEXTS:
        requests += [Request(context, WORDS[0] + _FOLLOWS), Request(context + WORDS[0], _FOLLOWS)]
    values = [value for value, _ in loglikelihoods(requests)]
    if any(math.isnan(value) or value == -math.inf for value in values):
        return "its log-likelihoods of a known text are not numbers"
    by_context = [values[len(WORDS) * place : len(WORDS) * (place + 1)] for place in range(len(CONTEXTS))]
    if all(Counter(each).most_common(1)[0][1] >= _ALIKE for each in by_context):
        return (
            "it gives different continuations of a known text the same log-likelihood, so its log-probabilities belong "
            "to other tokens; llama.cpp servers shift them by one for models without a beginning-of-sequence token"
        )
    if (most := max(sum(map(math.exp, each)) for each in by_context)) > _MOST:
        return (
            f"its probabilities of words that exclude one another add up to {most:.3g}, so its log-probabilities "
            "belong to other tokens"
        )
    for place, (first, *_) in enumerate(by_context):
        joint, second = values[len(CONTEXTS) * len(WORDS) + 2 * place :][:2]
        if abs(first + second - joint) > _TOLERANCE + 0.05 * abs(joint):
            return (
                f"its log-likelihood of {WORDS[0] + _FOLLOWS!r} after {CONTEXTS[place]!r} is {joint:.2f}, but those of "
                f"its two parts add up to {first + second:.2f}, so its log-probabilities belong to other tokens"
            )
    return None

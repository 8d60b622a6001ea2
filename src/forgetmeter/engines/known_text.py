"""Requests whose answers satisfy known relations in every language model, to detect misplaced log-probabilities."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Sequence

from forgetmeter.records.item import Request

Loglikelihoods = Callable[[Sequence[Request]], Sequence[tuple[float, bool]]]

CONTEXTS = ("The capital of France is", "Water is made of hydrogen and")
WORDS = (" Paris", " Rome", " London", " oxygen", " the", " green", " two", " music")
"""Most are a single token in most vocabularies; none begins with another."""
_BEGINNINGS = ("Rain falls from dark clouds.", "Old books are often long.")
_FOLLOWS = " and the"
_ALIKE = 3
"""Number of equal log-likelihoods that rounding to 16 bits does not explain if it occurs after both contexts."""
_FEW = 3
"""Number of words after long texts, which take long to read."""
_SAME = 1e-6
_MOST = 1.02
_TOLERANCE = 1.0
"""In nats: a runtime may round differently in texts of other lengths."""


def long_contexts(tokens: Callable[[str], int], most: int) -> tuple[str, str] | None:
    """Return two texts of about ``most`` tokens that differ in their first sentence, or ``None`` if this is too short.

    Args:
        tokens: Counts the tokens of a text.
        most: Number of tokens that none of the texts, with a word after it, has more of.
    """

    def texts(sentences: int) -> list[str]:
        middle = " ".join(f"The number after {number} is {number + 1}." for number in range(sentences))
        return [f"{beginning} {middle} {CONTEXTS[0]}" for beginning in _BEGINNINGS]

    def is_short_enough(sentences: int) -> bool:
        return max(tokens(text + WORDS[0] + _FOLLOWS) for text in texts(sentences)) <= most

    # The number of sentences for which they are just short enough, or a little fewer.
    step = max(1, most // 512)
    found = bisect_left(range(1, most, step), True, key=lambda sentences: not is_short_enough(sentences))
    one, other = texts(1 + (found - 1) * step)
    return (one, other) if found else None


def long_problem_of(loglikelihoods: Loglikelihoods, contexts: tuple[str, str]) -> str | None:
    """Return the problem with a runtime's answers after two long texts that differ at their beginning, or ``None``.

    The relations of ``problem_of`` are checked, and that the answers depend on the whole text, as they do in every
    model whose layers read all of it.
    """
    requests = [Request(context, word) for context in contexts for word in WORDS[:_FEW]]
    values = [value for value, _ in loglikelihoods(requests)]
    if all(abs(one - other) < _SAME for one, other in zip(values[:_FEW], values[_FEW:], strict=True)):
        return (
            f"its log-likelihoods after a text of {len(contexts[0].split())} words, as long as the longest of the "
            "tasks, do not depend on how it begins, so it reads only the end; raise its maximum length "
            "(n_ctx, max_length or max_model_len)"
        )
    return problem_of(loglikelihoods, contexts, WORDS[:_FEW])


def problem_of(
    loglikelihoods: Loglikelihoods, contexts: Sequence[str] = CONTEXTS, words: Sequence[str] = WORDS
) -> str | None:
    """Return the problem with a runtime's answers, or ``None``.

    Three relations are checked. Different words after the same context have different log-likelihoods: if the
    log-probabilities belong to the token before, they are equal. The probabilities of words that exclude one another
    add up to at most 1. And the log-likelihood of two parts one after the other is that of both at once.
    """
    requests = [Request(context, word) for context in contexts for word in words]
    for context in contexts:
        requests += [Request(context, words[0] + _FOLLOWS), Request(context + words[0], _FOLLOWS)]
    values = [value for value, _ in loglikelihoods(requests)]
    if any(math.isnan(value) or value == -math.inf for value in values):
        return "its log-likelihoods of a known text are not numbers"
    by_context = [values[len(words) * place : len(words) * (place + 1)] for place in range(len(contexts))]
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
        joint, second = values[len(contexts) * len(words) + 2 * place :][:2]
        if abs(first + second - joint) > _TOLERANCE + 0.05 * abs(joint):
            return (
                f"its log-likelihood of {words[0] + _FOLLOWS!r} after {contexts[place][-40:]!r} is {joint:.2f}, but "
                f"those of its two parts add up to {first + second:.2f}, so its log-probabilities belong to other "
                "tokens"
            )
    return None

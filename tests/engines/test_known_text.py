"""Relations that the answers of any language model must have."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import pytest

from forgetmeter.engines.known_text import CONTEXTS, WORDS, problem_of
from forgetmeter.records.item import Request


def bigram(before: str, after: str) -> float:
    """Log-probability of a character after another: any function will do whose values over all of them add up to 1."""
    weights = {each: 1 + (7 * ord(before) + 13 * ord(each)) % 31 for each in map(chr, range(32, 127))}
    return math.log(weights[after] / sum(weights.values()))


def sound(requests: Sequence[Request]) -> list[tuple[float, bool]]:
    def loglikelihood(request: Request) -> float:
        text = request.context + request.continuation
        return sum(bigram(text[i - 1], text[i]) for i in range(len(request.context), len(text)))

    return [(loglikelihood(each), False) for each in requests]


def changed(change: Callable[[Request, float], float]) -> Callable[[Sequence[Request]], list[tuple[float, bool]]]:
    return lambda requests: [
        (change(request, value), False) for request, (value, _) in zip(requests, sound(requests), strict=True)
    ]


def test_a_model_of_any_quality_passes() -> None:
    assert problem_of(sound) is None


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda request, value: 0 * value - 0.1 * len(request.context), "the same log-likelihood"),
        (lambda request, value: value / (50 + len(request.context)), "add up to"),
        (lambda request, value: value * len(request.continuation), "two parts add up to"),
        (lambda request, value: math.nan * value * len(request.context), "are not numbers"),
        (lambda request, value: math.inf * value * len(request.context), "are not numbers"),
    ],
)
def test_wrong_answers_are_noticed(change: Callable[[Request, float], float], says: str) -> None:
    assert says in str(problem_of(changed(change)))


def test_two_equal_answers_are_no_fault() -> None:
    """Logits in 16 bits are often equal."""
    rounded = changed(lambda request, value: round(value, 0) if request.continuation in WORDS[:2] else value)
    assert problem_of(rounded) is None


def test_no_word_begins_with_another() -> None:
    assert not any(one != other and other.startswith(one) for one in WORDS for other in WORDS)
    assert len(set(CONTEXTS)) == 2

"""Relations that the answers of any language model must have."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import pytest

from forgetmeter.engines.known_text import CONTEXTS, WORDS, long_contexts, long_problem_of, problem_of
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


def words(text: str) -> int:
    return len(text.split())


@pytest.mark.parametrize("most", [40, 100, 101, 2000, 100_000])
def test_long_texts_are_as_long_as_they_may_be(most: int) -> None:
    one, other = long_contexts(words, most) or ("", "")
    assert one[:20] != other[:20]
    assert one.partition(". ")[2] == other.partition(". ")[2]
    assert 0.9 * most - 10 < words(f"{one} Paris and the") <= most


@pytest.mark.parametrize("most", [0, 1, 10])
def test_there_are_no_long_texts_of_few_words(most: int) -> None:
    assert long_contexts(words, most) is None


def test_a_runtime_that_reads_only_the_end_is_noticed() -> None:
    contexts = long_contexts(words, 200)
    assert contexts is not None
    assert "do not depend on how it begins" in str(long_problem_of(sound, contexts))
    reads_all = changed(lambda request, value: value - 0.1 * (request.context[0] == "R"))
    assert long_problem_of(reads_all, contexts) is None
    shifted = changed(lambda request, value: 0 * value - 0.1 * len(request.context) - (request.context[0] == "R"))
    assert "the same log-likelihood" in str(long_problem_of(shifted, contexts))

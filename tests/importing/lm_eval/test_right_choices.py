"""Right choices, read from logged targets and accuracies."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from forgetmeter.importing.lm_eval.right_choices import right_choices
from forgetmeter.importing.lm_eval.samples import Sample
from forgetmeter.records.item import RequestScore

LETTERS = ("A", "B", "C", "D")


def sample(target: str, best: int, acc: float | None, choices: int = 4, *, nan: bool = False) -> Sample:
    scores = [RequestScore(0.0 if place == best else -1.0, is_greedy=False) for place in range(choices)]
    if nan:
        scores[0] = RequestScore(math.nan, is_greedy=False)
    requests = tuple(("Q", f" {place}") for place in range(choices))
    return Sample(0, "x", 0, requests, target, tuple(scores), (), {} if acc is None else {"acc": acc})


@pytest.mark.parametrize(
    ("target", "choices", "best", "acc", "gold"),
    [
        ("2", LETTERS, 2, 1.0, (2,)),
        ("2.0", LETTERS, 2, 1.0, (2,)),
        ("C", LETTERS, 2, 1.0, (2,)),
        ("C", LETTERS, 1, 0.0, (2,)),
        ("[0, 3]", LETTERS, 3, 1.0, (0, 3)),
        ("['A', 'D']", LETTERS, 3, 1.0, (0, 3)),
        # A number is an index, unless the accuracies say that it is a choice.
        ("1", ("1", "2", "3", "4"), 1, 1.0, (1,)),
        ("1", ("1", "2", "3", "4"), 0, 1.0, (0,)),
        # If nothing says which, it is neither.
        ("1", ("1", "2", "3", "4"), 1, None, ()),
        ("1", ("0", "1", "2", "3"), 1, None, (1,)),
        # Nothing fits: the accuracy tells, if the answer was right.
        ("the end of the sentence", LETTERS, 3, 1.0, (3,)),
        ("the end of the sentence", LETTERS, 3, 0.0, ()),
        ("7", LETTERS, 3, 0.0, ()),
    ],
)
def test_targets_in_every_form(
    target: str, choices: tuple[str, ...], best: int, acc: float | None, gold: tuple[int, ...]
) -> None:
    variants = [{("x", 0): sample(target, best, acc)}]
    assert right_choices(variants, {("x", 0): choices}, ["acc"]).gold == {("x", 0): gold}


@pytest.mark.parametrize("metric", ["acc_norm", "acc_bytes"])
def test_another_metric_also_says_whether_a_number_is_an_index_or_a_choice(metric: str) -> None:
    key, choices = ("x", 0), ("2", "0", "1")
    one = replace(sample("2", 0, None, 3), metrics={metric: 1.0})
    assert right_choices([{key: one}], {key: choices}, [metric]).gold == {key: (0,)}
    other = replace(sample("2", 2, None, 3), metrics={metric: 1.0})
    assert right_choices([{key: other}], {key: choices}, [metric]).gold == {key: (2,)}


def test_what_several_variants_got_wrong_leaves_one_choice() -> None:
    key = ("x", 0)
    variants = [{key: sample("…", best, 0.0, 3)} for best in (0, 2)]
    assert right_choices(variants, {key: ("a", "b", "c")}, ["acc"]).gold == {key: (1,)}
    assert right_choices(variants[:1], {key: ("a", "b", "c")}, ["acc"]).gold == {key: ()}


def test_of_two_choices_the_other_one_is_right() -> None:
    key = ("x", 0)
    assert right_choices([{key: sample("…", 0, 0.0, 2)}], {key: ("a", "b")}, ["acc"]).gold == {key: (1,)}
    assert right_choices([{key: sample("…", 1, 1.0, 2, nan=True)}], {key: ("a", "b")}, ["acc"]).gold == {key: ()}

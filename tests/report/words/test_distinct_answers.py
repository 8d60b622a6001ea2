"""Long answers shortened so that different ones stay different.

Covers ``report.html.long_answers``.
"""

from __future__ import annotations

import numpy as np
from hypothesis import example, given
from hypothesis import strategies as st

from forgetmeter.report.html.long_answers import LongAnswers
from forgetmeter.report.words.distinct_answers import distinct_answers

BEGINNING = "Provide the guinea pig with a cage full of bedding made of ripped "


def test_a_long_shared_beginning_is_left_out() -> None:
    assert distinct_answers([BEGINNING + "paper.", BEGINNING + "jeans."]) == ["…paper.", "…jeans."]
    assert distinct_answers(["red paint", "red brush"]) == ["red paint", "red brush"]
    assert distinct_answers([BEGINNING, BEGINNING]) == [BEGINNING.strip()] * 2


@given(st.lists(st.text(max_size=60), min_size=1, max_size=4))
@example(["0000000000000000000 0", "", "0"])
@example([BEGINNING + "paper", BEGINNING.strip(), BEGINNING + "paper strips"])
def test_different_answers_stay_different(answers: list[str]) -> None:
    told = distinct_answers(answers)
    assert len(set(told)) == len({" ".join(each.split()) for each in answers})


def test_answers_to_one_item_stay_distinct_across_variants() -> None:
    alike = LongAnswers(40)
    golds = ([BEGINNING + "paper.", "yes"], np.array([0, 1]))
    afters = ([BEGINNING + "jeans.", "no"], np.array([0, 1]))
    items = np.array([3, 7])
    alike.see(items, golds)
    alike.see(items, afters)
    assert list(alike.among(items, golds)) == [(0, "…paper.")]
    assert list(alike.among(items, afters)) == [(0, "…jeans.")]


def test_short_answers_are_unchanged() -> None:
    alike = LongAnswers(100)
    answers = ([BEGINNING + "paper.", BEGINNING + "jeans."], np.array([0, 1]))
    alike.see(np.array([1, 1]), answers)
    assert list(alike.among(np.array([1, 1]), answers)) == []

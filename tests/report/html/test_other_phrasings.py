"""Whether a forgotten fact is right in another phrasing, against a loop."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np

from forgetmeter.report.html.other_phrasings import OtherPhrasings

ITEMS = np.array([f"i{place}" for place in range(60)])
# Three phrasings a fact; the items of the last fact belong to none.
FACTS = np.where(np.arange(60) < 57, np.arange(60) // 3, -1)


def made_up(seed: int) -> SimpleNamespace:
    random = np.random.default_rng(seed)
    marks = random.random((3, 2, 60)) < 0.7
    return SimpleNamespace(items=ITEMS, correct=marks[0], answered=marks[1], paired=marks[2])


def test_marks_are_those_of_a_loop() -> None:
    about = SimpleNamespace(ids=ITEMS[::-1].tolist(), facts=FACTS[::-1])
    for seed in range(20):
        answers = made_up(seed)
        for row in (0, 1):
            right = answers.correct[row] & answers.answered[row] & answers.paired[row]
            forgotten = np.flatnonzero(~answers.correct[row])
            change = SimpleNamespace(kind="forgotten", row=row, items=forgotten)
            expected = [
                any(right[other] and FACTS[other] == FACTS[item] >= 0 for other in range(60)) for item in forgotten
            ]
            assert OtherPhrasings(answers, about).right(change).tolist() == expected


def test_gained_items_and_tasks_without_facts_have_none() -> None:
    answers, about = made_up(0), SimpleNamespace(ids=ITEMS.tolist(), facts=FACTS)
    items = np.array([0, 1])
    assert OtherPhrasings(answers, about).right(SimpleNamespace(kind="gained", row=0, items=items)) is None
    forgotten = SimpleNamespace(kind="forgotten", row=0, items=items)
    assert OtherPhrasings(answers, None).right(forgotten) is None
    assert OtherPhrasings(answers, SimpleNamespace(ids=[], facts=None)).right(forgotten) is None

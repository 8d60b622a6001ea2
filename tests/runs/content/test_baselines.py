"""What guessing and the majority answer get right."""

from __future__ import annotations

import pandas as pd
import pytest

from forgetmeter.runs.content.baselines import TaskBaselines, item_baselines, task_baselines


def test_chance_and_majority() -> None:
    items = pd.DataFrame(
        {
            "task": ["a", "a", "a", "b"],
            "gold": [[1], [1], [0, 2], [0]],
            "choices": [2, 2, 3, 1],
            "among": [None] * 4,
        }
    )
    found = task_baselines(items)
    assert found["a"].items == 3
    assert found["a"].chance == pytest.approx((1 / 2 + 1 / 2 + 2 / 3) / 3)
    assert found["a"].majority == pytest.approx(2 / 3)
    # A single continuation is right if it is the likeliest of all.
    assert found["b"] == TaskBaselines(1, None, None)


def test_a_relation_with_one_object_is_always_guessed() -> None:
    items = pd.DataFrame({"task": ["a"], "gold": [[0]], "choices": [1], "among": ["candidates"]})
    assert task_baselines(items) == {"a": TaskBaselines(1, 1.0, 1.0)}


def test_a_task_without_choices_has_no_baselines() -> None:
    items = pd.DataFrame({"task": ["a", "a"], "gold": [[0], []], "choices": [2, 0], "among": [None] * 2})
    assert task_baselines(items) == {"a": TaskBaselines(2, None, None)}


def test_a_cloze_that_any_word_could_fill_has_no_chance_level() -> None:
    items = pd.DataFrame(
        {"task": ["a", "b"], "gold": [[0], [0]], "choices": [2, 2], "among": ["vocabulary", "candidates"]}
    )
    found = task_baselines(items)
    assert found == {"a": TaskBaselines(1, None, None), "b": TaskBaselines(1, 0.5, 1.0)}


def test_no_items() -> None:
    assert task_baselines(pd.DataFrame({"task": [], "gold": [], "choices": [], "among": []})) == {}


def test_the_majority_answer_is_that_of_the_relation() -> None:
    # Place 0 is right most often in one relation, place 1 in the other; overall, each in two of four.
    items = pd.DataFrame(
        {
            "task": ["a"] * 7,
            "gold": [[0], [0], [1], [1], [1], [1], [0]],
            "choices": [2] * 7,
            "among": ["candidates"] * 7,
            "relation": ["P1", "P1", "P1", "P2", "P2", "P2", "P2"],
        }
    )
    found = item_baselines(items)
    assert found.majority.tolist() == [1, 1, 0, 1, 1, 1, 0]
    assert found.chance.tolist() == [0.5] * 7
    assert task_baselines(items)["a"].majority == pytest.approx(5 / 7)


def test_a_relations_answers_have_a_majority_even_where_any_word_could_be_given() -> None:
    items = pd.DataFrame(
        {
            "task": ["a"] * 3,
            "gold": [[4], [4], [0]],
            "choices": [9] * 3,
            "among": ["vocabulary"] * 3,
            "relation": ["P1"] * 3,
        }
    )
    assert task_baselines(items) == {"a": TaskBaselines(3, None, pytest.approx(2 / 3))}

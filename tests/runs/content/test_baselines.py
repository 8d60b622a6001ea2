"""What guessing and the majority answer get right."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from forgetmeter.runs.content.baselines import ItemBaselines, item_baselines


def baselines_of(*, gold: list[Any], choices: list[int], among: str | None = None, **more: list[str]) -> ItemBaselines:
    columns = {"gold": gold, "choices": choices, "among": [among] * len(gold), "relation": [None] * len(gold), **more}
    return item_baselines(pd.DataFrame(columns))


def majority(found: ItemBaselines, among: list[bool] | None = None) -> list[float]:
    marks = np.ones(len(found.chance), dtype=np.bool_) if among is None else np.asarray(among)
    values: list[float] = found.majority(marks).tolist()
    return values


def test_chance_and_majority() -> None:
    found = baselines_of(gold=[[1], [1], [0, 2]], choices=[2, 2, 3])
    assert found.chance.tolist() == pytest.approx([1 / 2, 1 / 2, 2 / 3])
    assert majority(found) == [1, 1, 0]


def test_the_majority_is_that_of_the_items_that_count() -> None:
    found = baselines_of(gold=[[1], [0], [0], [0]], choices=[2] * 4)
    assert majority(found) == [0, 1, 1, 1]
    assert majority(found, [True, False, False, False]) == pytest.approx([1, *[np.nan] * 3], nan_ok=True)
    assert majority(found, [False] * 4) == pytest.approx([np.nan] * 4, nan_ok=True)


def test_a_single_continuation_has_none() -> None:
    # It is right if it is the likeliest of all.
    found = baselines_of(gold=[[0]], choices=[1])
    assert [*found.chance, *majority(found)] == pytest.approx([np.nan] * 2, nan_ok=True)


def test_a_relation_with_one_object_is_always_guessed() -> None:
    found = baselines_of(gold=[[0]], choices=[1], among="candidates")
    assert [*found.chance, *majority(found)] == [1, 1]


def test_an_item_without_choices_and_an_unknown_item_have_none() -> None:
    found = baselines_of(gold=[[0], [], np.nan], choices=[2, 0, np.nan])  # type: ignore[list-item]
    assert found.chance.tolist() == pytest.approx([0.5, np.nan, np.nan], nan_ok=True)
    assert majority(found) == pytest.approx([1, np.nan, np.nan], nan_ok=True)


def test_a_cloze_that_any_word_could_fill_has_no_chance_level() -> None:
    found = baselines_of(gold=[[0]], choices=[2], among="vocabulary")
    assert [*found.chance, *majority(found)] == pytest.approx([np.nan] * 2, nan_ok=True)


def test_the_majority_answer_is_that_of_the_relation() -> None:
    # Place 0 is right most often in one relation, place 1 in the other; overall, each in two of four.
    found = baselines_of(
        gold=[[0], [0], [1], [1], [1], [1], [0]],
        choices=[2] * 7,
        among="candidates",
        relation=["P1", "P1", "P1", "P2", "P2", "P2", "P2"],
    )
    assert majority(found) == [1, 1, 0, 1, 1, 1, 0]
    assert found.chance.tolist() == [0.5] * 7


@pytest.mark.parametrize(("items", "expected"), [(19, 1.0), (20, np.nan)])
def test_a_position_that_is_always_right_is_no_majority_answer(items: int, expected: float) -> None:
    # SciQ's right answer is the last of four, TruthfulQA's the first.
    found = baselines_of(gold=[[3]] * items, choices=[4] * items)
    assert majority(found) == pytest.approx([expected] * items, nan_ok=True)


def test_an_answer_that_is_always_right_in_a_relation_is_one() -> None:
    found = baselines_of(gold=[[3]] * 30, choices=[4] * 30, among="candidates", relation=["P1"] * 30)
    assert majority(found) == [1] * 30


def test_a_relations_answers_have_a_majority_even_where_any_word_could_be_given() -> None:
    found = baselines_of(gold=[[4], [4], [0]], choices=[9] * 3, among="vocabulary", relation=["P1"] * 3)
    assert majority(found) == [1, 1, 0]
    assert np.isnan(found.chance).all()

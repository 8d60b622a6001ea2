from __future__ import annotations

import pandas as pd
import pytest

from forgetmeter.analysis.baselines import TaskBaselines, task_baselines


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
    assert found["b"] == TaskBaselines(1, 1.0, 1.0)


def test_a_task_without_choices_has_none() -> None:
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

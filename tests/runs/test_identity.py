"""What distinguishes two studies."""

from __future__ import annotations

import pytest

from forgetmeter.runs.identity import additions, differences

STORED = {"models": ["a", "b"], "evaluation": {"limit": 100, "dtype": "float32"}}


@pytest.mark.parametrize(
    ("requested", "expected"),
    [
        ({"models": ("a", "b"), "evaluation": {"dtype": "float32", "limit": 100}}, []),
        ({**STORED, "models": ["a", "c"]}, ["models: 'b' in the run, 'c' now"]),
        ({**STORED, "models": ["a", "b", "c"]}, ["models: nothing in the run, 'c' now"]),
        ({**STORED, "models": ["b", "a"]}, ["models in another order: 'a', 'b' in the run, 'b', 'a' now"]),
        ({**STORED, "models": list("cdefg")}, ["models: 'a', 'b' in the run, 'c', 'd', 'e' and 2 more now"]),
        (
            {"models": ["a", "b"], "evaluation": {"limit": None, "dtype": "bfloat16"}},
            ["evaluation.dtype: 'float32' in the run, 'bfloat16' now", "evaluation.limit: 100 in the run, null now"],
        ),
    ],
)
def test_each_difference_is_named(requested: dict, expected: list[str]) -> None:
    assert differences(STORED, requested) == expected


def test_a_models_content_is_named_by_the_model() -> None:
    stored, requested = ({"models": [*hashes], "model_content": hashes} for hashes in ({"./x": "1a"}, {"./x": "2b"}))
    assert differences(stored, requested) == ["content of './x': '1a' in the run, '2b' now"]
    other = {"models": ["./y"], "model_content": {"./y": "2b"}}
    assert differences(stored, other) == ["models: './x' in the run, './y' now"]


@pytest.mark.parametrize("key", ["recipes", "tasks"])
def test_more_recipes_and_tasks_are_additions(key: str) -> None:
    stored, requested = {**STORED, key: ["a", "b"]}, {**STORED, key: ["c", "b", "a"]}
    assert differences(stored, requested) == []
    assert additions(stored, requested) == [f"{key} 'c'"]
    assert differences(requested, stored) == [f"{key} lack 'c'"]
    assert additions(requested, stored) == []


def test_long_values_are_shortened() -> None:
    (phrase,) = differences({"a": "x" * 500}, {"a": "y" * 500})
    assert len(phrase) < 150
    assert "…" in phrase

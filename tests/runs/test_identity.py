"""What distinguishes two studies."""

from __future__ import annotations

import pytest

from forgetmeter.runs.identity import additions, differences

STORED = {"models": ["a", "b"], "evaluation": {"limit": 100, "dtype": "float32"}}


@pytest.mark.parametrize(
    ("requested", "expected"),
    [
        ({"models": ("a", "b"), "evaluation": {"dtype": "float32", "limit": 100}}, []),
        ({**STORED, "models": ["a", "c"]}, ["models from 'b' to 'c'"]),
        ({**STORED, "models": ["a", "b", "c"]}, ["models from nothing to 'c'"]),
        ({**STORED, "models": ["b", "a"]}, ["models in another order: from 'a', 'b' to 'b', 'a'"]),
        ({**STORED, "models": list("cdefg")}, ["models from 'a', 'b' to 'c', 'd', 'e' and 2 more"]),
        (
            {"models": ["a", "b"], "evaluation": {"limit": None, "dtype": "bfloat16"}},
            ["evaluation.dtype from 'float32' to 'bfloat16'", "evaluation.limit from 100 to null"],
        ),
    ],
)
def test_each_difference_is_named(requested: dict, expected: list[str]) -> None:
    assert differences(STORED, requested) == expected


def test_a_models_content_is_named_by_the_model() -> None:
    stored, requested = ({"models": [*hashes], "model_content": hashes} for hashes in ({"./x": "1a"}, {"./x": "2b"}))
    assert differences(stored, requested) == ["content of './x' from '1a' to '2b'"]
    other = {"models": ["./y"], "model_content": {"./y": "2b"}}
    assert differences(stored, other) == ["models from './x' to './y'"]


@pytest.mark.parametrize("key", ["recipes", "tasks"])
def test_more_recipes_and_tasks_are_additions(key: str) -> None:
    stored, requested = {**STORED, key: ["a", "b"]}, {**STORED, key: ["c", "b", "a"]}
    assert differences(stored, requested) == []
    assert additions(stored, requested) == [f"{key} 'c'"]
    assert differences(requested, stored) == [f"{key} without 'c'"]
    assert additions(requested, stored) == []


def test_long_values_are_shortened() -> None:
    (phrase,) = differences({"a": "x" * 500}, {"a": "y" * 500})
    assert len(phrase) < 150
    assert "…" in phrase

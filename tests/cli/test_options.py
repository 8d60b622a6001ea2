"""Options that several commands share."""

from __future__ import annotations

import pytest
from quick_commands import forgetmeter

from forgetmeter.cli.options import evaluation, given, split, split_recipes


def test_options_that_were_not_given_are_left_out() -> None:
    assert given(models=["m"], output=None) == {"models": ["m"]}
    assert given("evaluation.", limit=0, seed=None) == {"evaluation.limit": 0}


def test_values_are_split_at_commas() -> None:
    assert split("piqa, facts:templates=0") == ["piqa", "facts:templates=0"]
    assert split_recipes("cast:regex(a,b), svd:head:0.5") == ["cast:regex(a,b)", "svd:head:0.5"]
    assert split(None) is split_recipes(None) is None


@pytest.mark.parametrize(
    "arguments",
    [
        ["run", "--model", "standard:decoder", "--tasks", "piqa", "--tasks=facts", "--dry-run"],
        ["list", "relations", "facts", "--model", "standard:decoder", "--model", "standard:encoder"],
        ["show", "run", "--format", "json", "--format", "--"],
    ],
)
def test_an_option_with_one_value_is_not_given_twice(arguments: list[str]) -> None:
    said = forgetmeter(*arguments, expect=2).stderr
    assert "is given twice, and only the last would count; give it once" in said


def test_options_with_several_values_and_values_that_look_like_options_are_not_counted() -> None:
    for arguments in (
        ["gate", "run", "--recipe", "a", "--recipe", "b", "--margin", "1pt"],
        ["show", "--format", "--format", "run"],
        ["show", "--", "--format", "--format"],
    ):
        assert "is given twice" not in forgetmeter(*arguments, expect=2).stderr


def test_settings_of_the_evaluation_are_found_among_parameters() -> None:
    parameters = {"tasks": "piqa", "limit": 0, "seed": None, "chat_template": True}
    assert evaluation(parameters) == {"evaluation.limit": 0, "evaluation.chat_template": True}

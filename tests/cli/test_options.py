"""Options that several commands share."""

from __future__ import annotations

from forgetmeter.cli.options import evaluation, given, split, split_recipes


def test_options_that_were_not_given_are_left_out() -> None:
    assert given(models=["m"], output=None) == {"models": ["m"]}
    assert given("evaluation.", limit=0, seed=None) == {"evaluation.limit": 0}


def test_values_are_split_at_commas() -> None:
    assert split("piqa, facts:templates=0") == ["piqa", "facts:templates=0"]
    assert split_recipes("cast:regex(a,b), svd:head:0.5") == ["cast:regex(a,b)", "svd:head:0.5"]
    assert split(None) is split_recipes(None) is None


def test_settings_of_the_evaluation_are_found_among_parameters() -> None:
    parameters = {"tasks": "piqa", "limit": 0, "seed": None, "chat_template": True}
    assert evaluation(parameters) == {"evaluation.limit": 0, "evaluation.chat_template": True}

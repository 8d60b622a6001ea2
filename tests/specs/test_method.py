"""Declarations of methods: checks of levels and options."""

from __future__ import annotations

import pytest

from forgetmeter.specs.method import LevelKind, MethodDeclaration, Option
from forgetmeter.specs.recipe import parse_recipe


def declared(level: LevelKind) -> MethodDeclaration:
    options = {
        "pool": Option("global", "", ("global", "matrix")),
        "size": Option(64, ""),
        "share": Option(0.5, ""),
    }
    return MethodDeclaration("some", "", "", level, options)


@pytest.mark.parametrize(
    ("kind", "text", "fits"),
    [
        ("fraction", "some:overall:0", True),
        ("fraction", "some:overall:1", True),
        ("fraction", "some:overall:1.5", False),
        ("fraction", "some:overall:-0.1", False),
        ("fraction", "some:overall", False),
        ("bits", "some:overall:4", True),
        ("bits", "some:overall:4.5", False),
        ("bits", "some:overall:1", False),
        ("none", "some:overall", True),
        ("none", "some:overall:0.5", False),
        ("none", "some:overall:pool=matrix", True),
        ("none", "some:overall:pool=layer", False),
        ("none", "some:overall:pol=matrix", False),
        ("none", "some:overall:size=8", True),
        ("none", "some:overall:size=large", False),
        ("none", "some:overall:size=0.5", False),
        ("none", "some:overall:share=1", True),
        ("none", "some:overall:share=true", False),
    ],
)
def test_levels_and_options_are_checked(kind: LevelKind, text: str, fits: bool) -> None:
    assert (declared(kind).problems(parse_recipe(text).steps[0]) == []) == fits


def test_a_problem_names_the_value_and_what_is_allowed() -> None:
    step = parse_recipe("some:overall:1.5:pol=x").steps[0]
    level, option = declared("fraction").problems(step)
    assert level == "invalid level 1.5: some takes a fraction from 0 to 1"
    assert option == "some has no option 'pol'; did you mean 'pool'? (allowed: pool, size, share)"


def test_defaults_fill_what_a_step_leaves_out() -> None:
    step = parse_recipe("some:overall:0.5:size=8").steps[0]
    assert declared("fraction").values(step) == {"pool": "global", "size": 8, "share": 0.5}

"""Parsing and printing recipes."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from forgetmeter.errors import UserError
from forgetmeter.specs.model_reference import answers_reference
from forgetmeter.specs.recipe import Recipe, canonical, make_step, parse_recipe
from forgetmeter.specs.scope import SELECTORS, Scope, regex_scope

layers = st.none() | st.tuples(st.integers(0, 40), st.integers(0, 40)).map(lambda pair: (min(pair), max(pair)))
named_scopes = st.builds(
    Scope,
    selector=st.sampled_from(sorted(SELECTORS)),
    stack=st.sampled_from([None, "encoder", "decoder"]),
    layers=layers,
)
patterns = [r"layers\.[0-3]\.", "a+b", "q_proj|k_proj", "(x:y,z)", "50%", "%41", "[(]", r"\(", "a b`", "é"]
regex_scopes = st.sampled_from(patterns).map(regex_scope)
values = st.booleans() | st.integers(-99, 99) | st.floats(-1e30, 1e30) | st.sampled_from(["matrix", "global", "cosine"])
steps = st.builds(
    make_step,
    method=st.sampled_from(["l1_unstructured", "dynamic_int8", "n_m"]),
    scope=named_scopes | regex_scopes,
    level=st.none() | st.floats(0, 1) | st.integers(2, 8) | st.floats(1e-30, 1e30),
    options=st.dictionaries(st.sampled_from(["pool", "n", "group_size"]), values).map(lambda d: tuple(d.items())),
)
candidates = st.text(min_size=1).filter(str.strip).map(answers_reference)
recipes = st.builds(Recipe, st.lists(steps, max_size=3).map(tuple), st.none() | candidates)


@given(recipes)
@settings(deadline=None)
def test_printing_and_parsing_round_trip(recipe: Recipe) -> None:
    assert parse_recipe(str(recipe)) == recipe
    assert str(parse_recipe(str(recipe))) == str(recipe)


def test_examples_of_the_design() -> None:
    assert str(parse_recipe("l1_unstructured:overall:0.50")) == "l1_unstructured:overall:0.5"
    two = parse_recipe("dynamic_int8:overall+l1_unstructured:overall:0.2")
    assert [step.method for step in two.steps] == ["dynamic_int8", "l1_unstructured"]
    grouped = parse_recipe("round_to_nearest:feed_forward:4:group_size=64").steps[0]
    assert (grouped.level, grouped.options) == (4, (("group_size", 64),))
    assert parse_recipe("baseline") == Recipe()
    assert str(Recipe()) == "baseline"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "not a valid compression step"),
        ("l1_unstructured", "not a valid compression step"),
        ("./int4", "already compressed is a candidate, not a recipe"),
        ("l1_unstructured:overall:0.5+", "not a valid compression step"),
        ("l1_unstructured:overal:0.5", "did you mean 'overall'"),
        ("l1_unstructured:overall:half", "neither a level nor key=value"),
        ("l1_unstructured:overall:0.5:0.6", "neither a level nor key=value"),
        ("l1_unstructured:overall:0.5:pool=", "malformed"),
        ("l1_unstructured:overall:0.5:pool=a:pool=b", "given twice"),
        ("L1:overall:0.5", "not a valid method name"),
        ("l1_unstructured:overall:1e999", "is infinite, NaN or too large"),
        ("l1_unstructured:layers[5-2]/overall:0.5", "ends before it starts"),
        ("l1_unstructured:regex(layers.(0):0.5", "parentheses do not match"),
        (
            "l1_unstructured:layers[a]/overall:0.5",
            "scope 'layers[a]/overall' is not of the form layers[FIRST-LAST]/SCOPE",
        ),
        ("l1_unstructured:layers[7-9]:0.5", "scope 'layers[7-9]' is not of the form layers[FIRST-LAST]/SCOPE"),
    ],
)
def test_parse_errors_give_a_reason(text: str, says: str) -> None:
    with pytest.raises(UserError, match=says.replace("[", r"\[")):
        parse_recipe(text)


@pytest.mark.parametrize("value", ["a:b", "a+b", "a,b", "1", "true", "", "a b"])
def test_option_values_that_would_not_round_trip_are_refused(value: str) -> None:
    with pytest.raises(UserError, match="cannot be written"):
        make_step(method="some", scope=Scope("overall"), options=[("key", value)])


@pytest.mark.parametrize(
    "text",
    [
        r"l1_unstructured:regex(layers\.(0|1)\.):0.5",
        r"l1_unstructured:layers[0-1]/regex((q|k)_proj\.weight$):0.5:pool=matrix+dynamic_int8:regex(a+b{1,3}:\()",
    ],
)
def test_a_regex_is_printed_as_typed_and_percent_encoded_in_ids(text: str) -> None:
    recipe = parse_recipe(text)
    assert str(recipe) == text
    assert parse_recipe(recipe.identity()) == recipe
    assert not set("|\\(){}") & set(recipe.identity().replace("regex(", "").replace(")", ""))
    assert canonical(recipe.identity()) == text


def test_a_text_that_is_no_recipe_is_canonical() -> None:
    assert canonical("what a plug-in writes") == "what a plug-in writes"


@pytest.mark.parametrize("text", ["overall:0.5", "regex(a+b):0.5", "layers[0-1]/attention:0.5"])
def test_a_forgotten_method_is_named(text: str) -> None:
    with pytest.raises(UserError, match="names no method before the scope"):
        parse_recipe(text)

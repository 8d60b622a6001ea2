"""What a run records about its methods."""

from __future__ import annotations

import pytest

from forgetmeter.specs.method import MethodDeclaration
from forgetmeter.specs.method_facts import MethodFacts
from forgetmeter.specs.recipe import parse_recipe

QUARTER = "squares:overall:0.25"


@pytest.mark.parametrize(
    ("facts", "step", "words"),
    [
        (MethodFacts(), QUARTER, "squares 0.25"),
        (MethodFacts(), "least_squares:overall:4:in_pairs=true:by=row_sum", "least squares 4 (by row sum, in pairs)"),
        (MethodFacts(phrase="{percent} of squares gone"), QUARTER, "25% of squares gone"),
        (MethodFacts(phrase="{level}-bit"), "squares:overall:4", "4-bit"),
        (MethodFacts(phrase="{percent} gone"), "squares:overall:1", "100% gone"),
        (MethodFacts(phrase="{percent} gone"), "squares:overall:0.125", "12.5% gone"),
        (MethodFacts(phrase="{percent} gone"), f"{QUARTER}:by=sum", "25% gone (by sum)"),
        (MethodFacts(phrase="{percent} gone by {by=place}"), QUARTER, "25% gone by place"),
        (MethodFacts(phrase="{percent} gone by {by=place}"), f"{QUARTER}:by=sum", "25% gone by sum"),
        (MethodFacts(phrase="{percent} gone", unsaid=("by",)), f"{QUARTER}:by=sum", "25% gone"),
        (MethodFacts(phrase="{level.__class__}"), QUARTER, "{level.__class__}"),
    ],
)
def test_a_step_is_described_by_its_phrase_or_name(facts: MethodFacts, step: str, words: str) -> None:
    assert facts.in_words(parse_recipe(step).steps[0]) == words


def test_the_kind_follows_from_the_effect_unless_it_is_declared() -> None:
    def kind(**declared: object) -> str:
        return MethodDeclaration("m", "s", "r", "none", **declared).facts.kind  # type: ignore[arg-type]

    assert kind() == "unstructured"
    assert kind(effect="quantizes") == "quantizes"
    assert kind(effect="rewrites") == "other"
    assert kind(effect="rewrites", kind="unstructured") == "unstructured"

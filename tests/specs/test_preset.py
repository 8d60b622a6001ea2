"""The presets, against the paper's grids."""

from __future__ import annotations

import pytest

from forgetmeter.errors import UserError
from forgetmeter.specs.preset import PRESETS, preset_recipes
from forgetmeter.specs.recipe import Recipe, parse_recipe


def test_the_papers_grids_have_the_papers_sizes() -> None:
    sizes = {name: len(preset.recipes) for name, preset in PRESETS.items() if name.startswith("paper/")}
    assert sizes == {
        "paper/pruning": 27,
        "paper/quantization": 3,
        "paper/prune_then_quantize": 6,
        "paper/final_layer": 36,
        "paper/encoder_decoder_attention": 36,
        "paper/all": 72,
    }
    assert parse_recipe("l1_unstructured:feed_forward:0.3") in PRESETS["paper/pruning"].recipes


@pytest.mark.parametrize("name", PRESETS)
def test_no_preset_has_a_recipe_twice(name: str) -> None:
    recipes = PRESETS[name].recipes
    assert len(set(recipes)) == len(recipes)
    assert Recipe() not in recipes


def test_the_final_layers_recipes_are_the_papers() -> None:
    texts = [str(recipe) for recipe in PRESETS["paper/final_layer"].recipes]
    assert texts[0] == "l1_unstructured:head:0.1"
    assert texts[9] == "ln_structured:head:0.1:dim=0:n=1"
    assert texts[-1] == "random_structured:head:0.9"


def test_bits_go_from_2_to_16() -> None:
    texts = [str(recipe) for recipe in PRESETS["open/bits"].recipes]
    assert texts[:5] == [
        *(f"round_to_nearest:attention:{bits}" for bits in (2, 3, 4, 8)),
        "cast:attention:dtype=bfloat16",
    ]


def test_an_unknown_preset_names_the_nearest() -> None:
    with pytest.raises(UserError, match="did you mean 'paper/pruning'"):
        preset_recipes("paper/prunning")

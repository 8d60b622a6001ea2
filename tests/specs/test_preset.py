from __future__ import annotations

import pytest

from forgetmeter.errors import UserError
from forgetmeter.specs.preset import PRESETS, preset_recipes
from forgetmeter.specs.recipe import parse_recipe


def test_the_papers_grids_have_the_papers_sizes() -> None:
    sizes = {name: len(preset.recipes) for name, preset in PRESETS.items() if name.startswith("paper/")}
    assert sizes == {"paper/pruning": 27, "paper/quantization": 3, "paper/prune_then_quantize": 6}
    assert parse_recipe("l1_unstructured:feed_forward:0.3") in PRESETS["paper/pruning"].recipes


def test_an_unknown_preset_names_the_nearest() -> None:
    with pytest.raises(UserError, match="did you mean 'paper/pruning'"):
        preset_recipes("paper/prunning")

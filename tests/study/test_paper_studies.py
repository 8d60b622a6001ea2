"""The paper's studies: recipes fit the models' published sizes, and run on small models of the same kind.

Covers ``compression.applying.recipe_problems`` and ``study.running``.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml
from made_up_task import MadeUpTask, plug_in
from paper_models import PAPER_MODELS, Published, save_small, whole_without_weights

from forgetmeter.compression.applying.recipe_problems import recipe_problems
from forgetmeter.config.study import Study
from forgetmeter.config.study_file import read_study_file
from forgetmeter.config.vocabulary import Vocabulary
from forgetmeter.models.roles.weight_map import weight_map
from forgetmeter.results.results import open_run
from forgetmeter.specs.recipe import Recipe, Step, parse_recipe
from forgetmeter.study.running import run

STUDIES = Path(__file__).parents[2] / "studies" / "paper"
LIMIT = 2
CHOICE = ("boolq", "piqa", "winogrande")
STRUCTURED = ("ln_structured", "random_structured")


def study_of(name: str, **overrides: Any) -> Study:
    return read_study_file(STUDIES / f"{name}.yaml", overrides=overrides)


def heads_width(sizes: Mapping[str, Any]) -> tuple[int, int]:
    """Return the final layer's rows and columns."""
    hidden = next(sizes[name] for name in ("embedding_size", "d_model", "dim", "hidden_size") if name in sizes)
    return sizes["vocab_size"], hidden


def weights_of(scope: str, published: Published, sizes: Mapping[str, Any]) -> int:
    """Return a scope's number of weights, from the architecture's description alone."""
    hidden, inner = (sizes[published.widths[place]] for place in ("d_model" in sizes and (0, 1)) or (0, 2))
    layers = 1 if "num_hidden_groups" in sizes else sizes[published.layers[0]]
    has_two_stacks, is_gated = "d_model" in sizes, "d_model" in sizes or "num_key_value_heads" in sizes
    attention = layers * 4 * hidden * sizes.get("d_kv", 0) * sizes.get("num_heads", 0) or layers * 4 * hidden**2
    feed_forward = layers * (3 if is_gated else 2) * hidden * inner * (2 if has_two_stacks else 1)
    rows, columns = heads_width(sizes)
    blocks = 3 if has_two_stacks else 1
    return {
        "attention": blocks * attention,
        "feed_forward": feed_forward,
        "overall": blocks * attention + feed_forward,
        "head": rows * columns,
        "encoder/attention": attention,
        "decoder/attention": 2 * attention,
        "self_attention": 2 * attention,
        "cross_attention": attention,
    }[scope]


def zeroed(step: Step, published: Published, sizes: Mapping[str, Any]) -> int:
    """Return the number of weights that a step zeroes for certain."""
    if step.method == "dynamic_int8":
        return 0
    level = step.level or 0
    if step.method in STRUCTURED:
        rows, columns = heads_width(sizes)
        return round(level * rows) * columns
    return round(level * weights_of(str(step.scope), published, sizes))


def test_every_model_of_the_paper_has_a_study() -> None:
    assert {path.stem for path in STUDIES.glob("*.yaml")} == PAPER_MODELS.keys()
    for path in STUDIES.glob("*.yaml"):
        assert yaml.safe_load(path.read_text())["output"] == f"runs/paper/{path.stem}"


@pytest.mark.parametrize("name", PAPER_MODELS)
def test_every_recipe_fits_the_published_sizes(name: str) -> None:
    published, study = PAPER_MODELS[name], study_of(name)
    model = whole_without_weights(published)
    assert model.num_parameters() == published.parameters
    matrices = weight_map(model)
    for recipe in study.recipes:
        assert recipe_problems(recipe, matrices) == []
        for step in recipe.steps:
            selected = sum(matrix.size for matrix in step.scope.select(matrices))
            assert selected == weights_of(str(step.scope), published, published.sizes)


@pytest.fixture
def lama(tmp_path: Path) -> Path:
    """A data folder with a made-up LAMA/."""
    folder = tmp_path / "data" / "LAMA"
    facts = [{"sub_label": name, "sub": name, "obj_label": "the", "obj": "the"} for name in ("inn", "tea")]
    asked = [{**fact, "masked_sentences": [f"{fact['sub']} is [MASK]."]} for fact in facts]
    relation = {"relation": "P36", "template": "the capital of [X] is [Y] .", "label": "capital", "type": "1-1"}
    files = {"relations": [relation], "TREx/P36": facts, "Squad/test": asked, "ConceptNet/test": asked}
    files |= dict.fromkeys((f"Google_RE/{each}_test" for each in ("place_of_birth", "date_of_birth")), asked)
    files |= {"Google_RE/place_of_death_test": asked}
    for path, records in files.items():
        file = folder / f"{path}.jsonl"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("".join(f"{json.dumps(record)}\n" for record in records))
    return folder.parent


@pytest.fixture(autouse=True)
def _choice(monkeypatch: pytest.MonkeyPatch) -> None:
    """Replace lm-eval's tasks, which need data from the Hub, with the made-up task."""
    makers = {name: (lambda limit, name=name: MadeUpTask(limit, name=name)) for name in CHOICE}
    plug_in(monkeypatch, makers)


@pytest.mark.slow
@pytest.mark.parametrize("name", PAPER_MODELS)
def test_the_whole_plan_runs(name: str, tmp_path: Path, lama: Path) -> None:
    published = PAPER_MODELS[name]
    sizes = save_small(published, tmp_path / "small")
    overrides = {"models": [str(tmp_path / "small")], "output": f"memory://paper/{name}", "evaluation.limit": LIMIT}

    def read(vocabulary: Vocabulary | None) -> Study:
        return read_study_file(STUDIES / f"{name}.yaml", overrides=overrides, vocabulary=vocabulary)

    # In memory, to be fast.
    finished = run(read, data=lama)
    study = study_of(name)
    assert len(study.recipes) == (73 + 36 if "flan-t5" in name else 73)
    assert (finished.cells, finished.failures) == (len(study.recipes) * len(study.tasks), ())

    stored = open_run(f"memory://paper/{name}")
    assert list(stored.variants["recipe"]) == [str(recipe) for recipe in study.recipes]
    for row in stored.variants.to_dict("records"):
        check_reached(row, parse_recipe(row["recipe"]), published, sizes)
    check_outcomes_differ(stored.outcomes)


def check_reached(row: Mapping[str, Any], recipe: Recipe, published: Published, sizes: Mapping[str, Any]) -> None:
    scopes = {str(step.scope) for step in recipe.steps}
    assert row["selected_weights"] == sum(weights_of(scope, published, sizes) for scope in scopes)
    certain = max((zeroed(step, published, sizes) for step in recipe.steps), default=0)
    if any(step.method == "dynamic_int8" for step in recipe.steps):
        # Rounding also zeroes small weights.
        assert certain <= row["removed_weights"] < row["selected_weights"]
        assert row["quantized_bytes"] < row["dense_bytes"]
    else:
        assert row["removed_weights"] == certain
        assert row["quantized_bytes"] == row["dense_bytes"]


def check_outcomes_differ(outcomes: pd.DataFrame) -> None:
    """Assert that every recipe changes the model's answer to some item."""
    said = {
        recipe: [tuple(values) for values in group["loglikelihoods"]]
        for recipe, group in outcomes.groupby("recipe", sort=False)
    }
    baseline = said.pop("baseline")
    assert baseline
    assert all(values for values in baseline)
    for recipe, values in said.items():
        assert len(values) == len(baseline), recipe
        assert values != baseline, recipe

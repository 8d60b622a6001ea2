"""Candidates in a study."""

from __future__ import annotations

from pathlib import Path

import pytest

from forgetmeter.config.study import Study
from forgetmeter.config.study_file import read_study_file
from forgetmeter.errors import ManyUserError

STUDY = "models: {models}\ncandidates:\n{candidates}tasks: [piqa]\noutput: o\n"


def read(folder: Path, candidates: str, models: str = "[./a]") -> Study:
    path = folder / "study.yaml"
    path.write_text(STUDY.format(models=models, candidates=candidates))
    return read_study_file(path)


def test_candidates_are_set_against_the_only_model(tmp_path: Path) -> None:
    study = read(tmp_path, "  - ./a-gptq\n  - org/a-AWQ@main\n  - ./a Q4+K.gguf\n")
    assert list(map(str, study.recipes)) == ["baseline"]
    (model,) = study.models
    assert [(of, str(recipe)) for of, recipe in study.candidates] == [
        (model, "candidate(./a-gptq)"),
        (model, "candidate(org/a-AWQ@main)"),
        (model, "candidate(./a Q4+K.gguf)"),
    ]
    assert study.recipes_of(model) == (*study.recipes, *(recipe for _, recipe in study.candidates))
    assert list(map(str, study.references)) == ["./a", "./a-gptq", "org/a-AWQ@main", "./a Q4+K.gguf"]


def test_with_several_models_each_names_its_baseline_and_can_have_recipes_on_top(tmp_path: Path) -> None:
    entry = "  - {of: ./b, is: [./b-1, ./b-2], recipes: [l1_unstructured:overall:0.5]}\n"
    study = read(tmp_path, entry, models="[./a, ./b]")
    a, b = study.models
    assert [str(recipe) for recipe in study.recipes_of(a)] == ["baseline"]
    assert [str(recipe) for recipe in study.recipes_of(b)] == [
        "baseline",
        "candidate(./b-1)",
        "candidate(./b-1)+l1_unstructured:overall:0.5",
        "candidate(./b-2)",
        "candidate(./b-2)+l1_unstructured:overall:0.5",
    ]


@pytest.mark.parametrize(
    ("candidates", "models", "says"),
    [
        ("  - 5\n", "[./a]", "study.yaml:3: '5' is not a valid candidate; write a model, {of: BASELINE"),
        ("  - nonsense\n", "[./a]", "study.yaml:3: 'nonsense' is not a valid model"),
        ("  - {is: []}\n", "[./a]", "study.yaml:3: '{'is': []}' is not a valid candidate"),
        ("  - {is: ./c, recipe: a}\n", "[./a]", "study.yaml:3: unknown key 'recipe' in a candidate; did you mean"),
        ("  - {is: ./c, recipes: baseline}\n", "[./a]", "study.yaml:3: recipes of a candidate must be"),
        ("  - ./c\n  - ./d\n", "[./a, ./b]", "study.yaml:3: the study has 2 models; write {of: BASELINE, is: [./c]}"),
        ("  - {of: ./x, is: ./c}\n", "[./a, ./b]", "study.yaml:3: of './x': the baseline must be one of the models"),
    ],
)
def test_invalid_candidates_give_a_reason_and_a_line(tmp_path: Path, candidates: str, models: str, says: str) -> None:
    with pytest.raises(ManyUserError) as caught:
        read(tmp_path, candidates, models)
    assert caught.value.messages[0].startswith(says)


def test_a_candidate_among_the_recipes_and_a_study_of_neither_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "study.yaml"
    path.write_text("models: [./a]\nrecipes: ['candidate(./b)']\ntasks: [piqa]\noutput: o\n")
    with pytest.raises(ManyUserError, match="a candidate is not a recipe; use forgetmeter compare"):
        read_study_file(path)
    path.write_text("models: [./a]\ntasks: [piqa]\noutput: o\n")
    with pytest.raises(ManyUserError, match="a study needs recipes, candidates or both"):
        read_study_file(path)

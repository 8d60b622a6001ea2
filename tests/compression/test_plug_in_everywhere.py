"""A plug-in method is treated like a built-in one in lists, findings, charts, sentences and advice.

Covers ``compression.registry`` and ``study.recipe_sizes``.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest
from typer.testing import CliRunner

from forgetmeter.cli.main import app
from forgetmeter.compression import registry
from forgetmeter.executors.executor import Progress
from forgetmeter.report.retained_grid import retained_grids
from forgetmeter.report.run_figures import run_figures
from forgetmeter.report.words.headline import headlines
from forgetmeter.results.results import Results, open_run
from forgetmeter.specs.budget import parse_budget
from forgetmeter.specs.method_facts import FOR_EARLIER_RUNS
from forgetmeter.specs.preset import preset_recipes
from forgetmeter.study.advising import AdviceRequest, _Advising
from forgetmeter.study.recipe_sizes import checked_recipes
from forgetmeter.study.running import run, run_checked

PRUNING = """
from forgetmeter.compression.method import PruningMethod
from forgetmeter.specs.method import MethodDeclaration


def rank(tensors, options, *, seed):
    def masks_at(level):
        for tensor in tensors:
            flat = tensor.square().flatten()
            keep = flat.new_ones(flat.shape, dtype=bool)
            keep[flat.argsort(stable=True)[: round(level * flat.numel())]] = False
            yield keep.view(tensor.shape)

    return masks_at


METHOD = PruningMethod(
    MethodDeclaration(
        name="squares",
        summary="Keeps the largest squares.",
        reference="an example",
        level="fraction",
        phrase="{percent} of squares pruned",
        advised_levels=(0.35, 0.55),
    ),
    rank,
)
"""
QUANTIZING = """
from forgetmeter.compression.method import DenseWeight, MatrixMethod
from forgetmeter.specs.method import MethodDeclaration


def transform(weight, level, options):
    values = weight.values()
    step = values.abs().max() / 8
    return DenseWeight((values / step).round() * step)


METHOD = MatrixMethod(
    MethodDeclaration(
        name="coarse", summary="17 values a matrix.", reference="an example", level="none", effect="quantizes",
        phrase="coarse grid",
    ),
    transform,
)
"""
PLUG_INS = "forgetmeter.specs.registry.plug_ins"
SCOPES = ("attention", "feed_forward", "overall")
RECIPES = [*(f"squares:{scope}:0.5" for scope in SCOPES), "l1_unstructured:overall:0.5", "coarse:overall"]


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[pytest.MonkeyPatch]:
    assert max(len(text.strip().splitlines()) for text in (PRUNING, QUANTIZING)) <= 30
    folder = tmp_path_factory.mktemp("plug-in")
    (folder / "squares_plug_in.py").write_text(PRUNING)
    (folder / "coarse_plug_in.py").write_text(QUANTIZING)
    entries = tuple(
        EntryPoint(name, f"{name}_plug_in:METHOD", registry.METHODS.group) for name in ("coarse", "squares")
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(folder))
        patch.setattr(PLUG_INS, lambda _group: entries)
        yield patch


@pytest.fixture(scope="module")
def location(installed: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> str:
    output = str(tmp_path_factory.mktemp("run") / "run")
    tasks = ["facts:templates=0"]
    run({"models": ["standard:decoder"], "recipes": RECIPES, "tasks": tasks, "output": output, "evaluation.limit": 40})
    return output


@pytest.fixture
def later(location: str, monkeypatch: pytest.MonkeyPatch) -> Results:
    """The run, opened without the plug-ins installed."""
    monkeypatch.setattr(PLUG_INS, lambda _group: ())
    return open_run(location)


def test_methods_are_listed(installed: pytest.MonkeyPatch) -> None:
    listed = CliRunner().invoke(app, ["list", "methods"]).stdout
    assert "squares:SCOPE:FRACTION\n    Keeps the largest squares." in listed
    assert "coarse:SCOPE\n" in listed


def test_the_run_records_what_is_declared(location: str) -> None:
    study = json.loads((Path(location) / "study.json").read_text(encoding="utf-8"))
    assert set(study["methods"]) == {"squares", "l1_unstructured", "coarse"}
    assert study["methods"]["squares"]["kind"] == "unstructured"
    assert "methods" not in study["identity"]


def test_findings_on_pruning_include_it(later: Results) -> None:
    findings = {finding.name: finding for finding in later.tested_claims}
    (result,) = findings["overall_hurts_most"].results
    # Only the plug-in's recipes have all three scopes.
    assert result.tasks[0].effect is not None


def test_charts_name_it_in_legends_and_rows(later: Results) -> None:
    curves = later.retained_curves
    figures = run_figures(later.run, later.summary, curves)
    titles = [figure.title for group in figures.level for figure in group.figures]
    assert any(title.endswith(": squares") for title in titles)
    legends = {row[0] for group in figures.level for figure in group.figures for row in figure.table.rows}
    assert {"squares", "l1_unstructured"} <= legends
    named = {row[0] for group in figures.recipes for figure in group.figures for row in figure.table.rows}
    assert "both: coarse grid" in named


def test_sentences_and_grids_use_its_phrases(later: Results) -> None:
    (grid,) = retained_grids(later.summary)
    assert grid.treatments == ("50% of squares pruned", "50% pruned", "coarse grid")
    (headline,) = headlines(later.summary, later.retained_curves)
    assert "Coarse grid (both)" in " ".join(headline.sentences)


def test_advice_tries_its_declared_levels(installed: pytest.MonkeyPatch, tmp_path: Path) -> None:
    request = AdviceRequest("standard:decoder", ("facts:templates=0",), parse_budget("0.5"), output=str(tmp_path))
    advising = _Advising(request, Progress(), run_checked)
    _, problems, _ = checked_recipes(advising._location, advising._study)
    recipes = [str(recipe) for recipe in advising._usable_recipes(problems)]
    assert recipes[-2:] == ["squares:overall:0.35", "squares:overall:0.55"]
    assert set(recipes[:-2]) <= set(map(str, preset_recipes("advice")))


def test_a_plug_in_that_does_not_load_does_not_prevent_advice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(PLUG_INS, lambda group: (EntryPoint("gone", "no_such_module:METHOD", group),))
    assert list(registry.advised_plug_ins()) == []


def test_the_facts_for_earlier_runs_are_what_the_methods_of_their_time_declare() -> None:
    facts = {name: registry.load_method(name).declaration.facts for name in FOR_EARLIER_RUNS}
    # They recorded no revision.
    assert {name: replace(each, revision=1) for name, each in facts.items()} == FOR_EARLIER_RUNS

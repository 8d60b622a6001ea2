"""Summary and tables of a run with a task that is measured (perplexity) and one that is judged.

Covers ``results.measured``.
"""

from __future__ import annotations

import csv
import io
import json
import math
from pathlib import Path

import pytest
from made_up_task import MadeUpTask, plug_in

from forgetmeter.report.formats.rendering import render
from forgetmeter.report.measured_tables import measured_tables
from forgetmeter.report.run_figures import run_figures
from forgetmeter.report.tables import tables
from forgetmeter.report.written_report import make_report
from forgetmeter.results.results import open_run
from forgetmeter.results.summary import Summary
from forgetmeter.study.running import run

RECIPES = ["baseline", "l1_unstructured:overall:0.5", "dynamic_int8:attention"]


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("texts") / "made_up.txt"
    path.write_text("the inn is thin\n\nthe tin thing is in the inn\n\nin the tea")
    return path


@pytest.fixture
def measured(llama_folder: Path, text: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Summary:
    plug_in(monkeypatch, {"made_up": MadeUpTask})
    study = {
        "models": [str(llama_folder)],
        "recipes": RECIPES[1:],
        "tasks": [f"perplexity:file={text}", "made_up"],
        "output": str(tmp_path / "run"),
    }
    finished = run(study)
    assert (finished.cells, finished.failures) == (6, ())
    assert run(study).computed == 0
    return open_run(str(tmp_path / "run")).summary


def test_one_task_is_measured_and_the_other_judged(measured: Summary) -> None:
    assert [(cell.recipe, cell.items) for cell in measured.measured] == [(recipe, 3) for recipe in RECIPES]
    assert {cell.task for cell in measured.cells} == {"made_up"}
    assert len(measured.cells) == 3
    assert measured.missing == ()
    assert (measured.tasks[0].chance, measured.tasks[0].majority) == (None, None)
    baseline, pruned, _ = measured.measured
    assert baseline.ratios == {}
    for name, value in pruned.metrics.items():
        assert pruned.ratios[name] == pytest.approx(value / baseline.metrics[name])
    # A logarithm and its argument.
    assert math.log2(baseline.metrics["byte_perplexity"]) == pytest.approx(baseline.metrics["bits_per_byte"])


def test_show_has_its_perplexity_in_place_of_accuracy(measured: Summary, text: Path) -> None:
    (model,) = {variant.model for variant in measured.variants}
    (table,) = measured_tables(model, measured)
    assert table.facts == ("3 texts",)
    assert [row.recipe for row in table.rows] == RECIPES
    assert [table.columns[0], table.rows[0].cells[1]] == ["word ppl", "—"]
    assert [each.name for each in tables(measured)] == ["Variants", "made_up", f"perplexity:file={text}"]
    for kind in ("table", "markdown", "latex"):
        assert "word ppl" in render(measured, kind)


def test_the_report_draws_what_is_retained_beside_perplexity(measured: Summary, tmp_path: Path) -> None:
    location = str(tmp_path / "run")
    (group,) = run_figures(open_run(location).run, measured, ()).perplexity
    (figure,) = group.figures
    assert group.task == "made_up"
    assert len(figure.table.rows) == len(RECIPES) - 1
    page = make_report(open_run(location))["report.html"].decode()
    assert "<h3>Beside perplexity</h3>" in page


def test_csv_and_json_have_it_too(measured: Summary, text: Path) -> None:
    document = json.loads(render(measured, "json"))
    assert [cell["recipe"] for cell in document["measured"]] == RECIPES
    rows = [row for row in csv.DictReader(io.StringIO(render(measured, "csv"))) if row["task"] != "made_up"]
    assert [float(row["metric.word_perplexity"]) for row in rows] == pytest.approx(
        [cell.metrics["word_perplexity"] for cell in measured.measured]
    )
    assert {row["accuracy"] for row in rows} == {""}


def test_outcomes_have_no_right_or_wrong(measured: Summary, tmp_path: Path, text: Path) -> None:
    stored = open_run(str(tmp_path / "run"))
    outcomes = stored.outcomes[stored.outcomes["task"] != "made_up"]
    assert outcomes["correct"].isna().all()
    assert outcomes["metric.tokens"].gt(0).all()
    texts = stored.items[stored.items["task"] != "made_up"]
    assert [list(each) for each in texts["continuations"]] == [[line] for line in text.read_text().split("\n\n")]

"""Summary and tables of a run with tasks that are measured (perplexity, divergence) and one that is judged.

Covers ``results.compared.measured`` and ``runs.content.item_values``.
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
    assert "<h3>Retained against perplexity</h3>" in page


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


def test_divergence_has_intervals_over_texts(llama_folder: Path, tmp_path: Path) -> None:
    path = tmp_path / "texts.txt"
    path.write_text("\n\n".join(f"the {word} is in the inn" for word in ("tin", "hen", "tea", "ten", "net", "thin")))
    task = f"divergence:file={path}"
    run({"models": [str(llama_folder)], "recipes": RECIPES[1:], "tasks": [task], "output": str(tmp_path / "run")})
    summary = open_run(str(tmp_path / "run")).summary
    for cell in summary.measured:
        assert set(cell.intervals) == set(cell.metrics) - {"divergence_max"}
        for name, estimate in cell.intervals.items():
            assert estimate.value == pytest.approx(cell.metrics[name])
            assert estimate.low <= estimate.value <= estimate.high
    (model,) = {variant.model for variant in summary.variants}
    (table,) = measured_tables(model, summary)
    assert table.columns == ("KL", "top-1", "ln ppl ratio", "median", "90%", "99%", "99.9%", "largest")
    pruned = summary.measured[1]
    low, high = pruned.intervals["divergence"].low, pruned.intervals["divergence"].high
    limits = ", ".join(f"{limit:.3f}" if limit >= 0.1 else f"{limit:.3g}" for limit in (low, high))
    assert table.rows[1].cells[0].endswith(f" [{limits}]")
    assert table.rows[0].cells[1].startswith("100.0% [95.")
    (_, row, _) = csv.DictReader(io.StringIO(render(summary, "csv")))
    assert float(row["metric.divergence_low"]) == pytest.approx(low)
    assert float(row["metric.divergence_p99_high"]) == pytest.approx(
        summary.measured[1].intervals["divergence_p99"].high
    )
    assert json.loads(render(summary, "json"))["measured"][1]["intervals"]["divergence"]["high"] == pytest.approx(high)
    assert "90th percentile of the divergence over tokens" in render(summary, "table", width=200)

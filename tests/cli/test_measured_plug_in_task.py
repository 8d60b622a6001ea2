"""A plug-in task without right answers is shown, charted and tested by the metrics that it declares.

Covers ``probes.declaration``, ``probes.registry``, ``report.measured_tables`` and ``results.compared.measured``.
"""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from made_up_task import MadeUpTask, plug_in
from typer.testing import CliRunner

from forgetmeter.cli.main import app
from forgetmeter.errors import UserError
from forgetmeter.probes.declaration import Metric, TaskDeclaration
from forgetmeter.probes.registry import metrics_of
from forgetmeter.records.item import Answer, Item, TaskDescription, TextAnswer, WholeText
from forgetmeter.records.outcome import Judgement, Outcome
from forgetmeter.report.run_figures import run_figures
from forgetmeter.results.findings.evidence import gather
from forgetmeter.results.results import open_run
from forgetmeter.specs.task_name import TaskName

POEMS = ("the inn is thin", "the tin thing is in the inn")
RECIPE = "l1_unstructured:overall:0.5"


class Surprise:
    def __init__(self, name: TaskName, *, limit: int | None = None) -> None:
        self.items = [Item(f"surprise/{place}", text, WholeText(text)) for place, text in enumerate(POEMS[:limit])]
        self.description = TaskDescription(str(name), "1", "made up for tests", "my_surprise", len(POEMS))

    def judge(self, answers: Sequence[Answer | None]) -> Judgement:
        given = [answer.loglikelihood for answer in answers if isinstance(answer, TextAnswer)]
        outcomes = [
            Outcome(item.id, None, "", "", None, None, (value,)) for item, value in zip(self.items, given, strict=True)
        ]
        surprise = math.exp(-sum(given) / 20)
        return Judgement(tuple(outcomes), {"undeclared": -1e-5, "my_surprise": surprise, "tiny": surprise / 1e4})


DECLARATION = TaskDeclaration(
    name="surprise",
    load=Surprise,
    thing="poem",
    is_measured=True,
    metrics=(
        Metric("tiny", meaning="surprise in small units"),
        Metric(
            "my_surprise", "how surprising", "surprise per foot", ratio="how much more surprising", is_perplexity=True
        ),
    ),
)


@pytest.fixture
def folder(llama_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    plug_in(monkeypatch, {"surprise": DECLARATION, "made_up": MadeUpTask})
    command = ("run", "--model", llama_folder, "--recipes", RECIPE, "--tasks", "surprise,made_up")
    said(*command, "--out", tmp_path / "run")
    return tmp_path / "run"


def said(*arguments: object) -> str:
    result = CliRunner(env={"COLUMNS": "200"}).invoke(app, [*map(str, arguments)])
    assert result.exit_code == 0, result.exception or result.output
    return result.stdout


def table(folder: Path) -> list[list[str]]:
    """Return the words of the lines of the task's table: title, heading, rule and rows."""
    lines = [line.split() for line in said("show", folder).splitlines()]
    start = next(place for place, words in enumerate(lines) if words[:1] == ["surprise"])
    return lines[start : start + 5]


def test_show_has_the_metrics_and_the_noun_that_it_declares(folder: Path) -> None:
    title, heading, _, baseline, pruned = table(folder)
    assert title == ["surprise", "·", "2", "poems"]
    assert heading == ["recipe", "tiny", "how", "surprising", "×", "baseline", "undeclared"]
    before, after = open_run(str(folder)).summary.measured
    assert baseline[2:] == [f"{before.metrics['my_surprise']:.3f}", "—", "-1e-05"]
    assert pruned[2:] == [f"{after.metrics['my_surprise']:.3f}", f"{after.ratios['my_surprise']:.3f}", "-1e-05"]
    legend = said("show", folder).partition("How to read this")[2]
    for meaning in ("surprise in small units", "surprise per foot", "how much more surprising"):
        assert meaning in legend
    assert "perplexity" not in legend
    for kind in ("markdown", "latex"):
        assert "how surprising" in said("show", folder, "--format", kind)


def test_csv_json_and_the_report_have_them(folder: Path, tmp_path: Path) -> None:
    before, _ = open_run(str(folder)).summary.measured
    document = json.loads(said("show", folder, "--format", "json"))
    assert document["measured"][0]["metrics"] == before.metrics
    rows = list(csv.DictReader(io.StringIO(said("show", folder, "--format", "csv"))))
    assert float(rows[0]["metric.my_surprise"]) == before.metrics["my_surprise"]
    said("report", folder, "--out", tmp_path / "report")
    page = (tmp_path / "report" / "report.html").read_text(encoding="utf-8")
    assert '<th scope="col">how surprising</th><th scope="col">× baseline</th>' in page
    assert "<h3>Retained against perplexity</h3>" in page


def test_its_perplexity_is_that_of_charts_and_findings(folder: Path) -> None:
    results = open_run(str(folder))
    before, after = (cell.metrics["my_surprise"] for cell in results.summary.measured)
    (evidence,) = gather(results.run, results.summary)[0].tasks
    assert (evidence.text, evidence.perplexity) == ("surprise", {"baseline": before, RECIPE: after})
    (group,) = run_figures(results.run, results.summary, ()).perplexity
    assert group.figures[0].table.rows[0][1] == f"{after / before:.3f}"


def test_a_run_shows_the_metrics_of_a_plug_in_that_is_gone(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plug_in(monkeypatch, {})
    title, heading, _, baseline, _ = table(folder)
    assert title == ["surprise", "·", "2", "items"]
    assert sorted(heading) == ["my_surprise", "recipe", "tiny", "undeclared"]
    (before, _) = open_run(str(folder)).summary.measured
    assert f"{before.metrics['my_surprise']:.3f}" in baseline
    assert gather((results := open_run(str(folder))).run, results.summary)[0].tasks[0].text == ""


def test_metrics_that_are_not_declared_are_known_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    found = metrics_of("lambada_openai", ["acc", "perplexity", "byte_perplexity", "word_perplexity"])
    assert [metric.name for metric in found] == ["word_perplexity", "byte_perplexity", "perplexity", "acc"]
    assert [metric.is_perplexity for metric in found] == [True, True, True, False]
    plug_in(monkeypatch, {"surprise": DECLARATION})
    assert metrics_of("surprise", []) == DECLARATION.metrics


def test_a_metric_that_is_only_named_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    plug_in(monkeypatch, {"surprise": replace(DECLARATION, metrics=("my_surprise",))})  # type: ignore[arg-type]
    command = ["run", "--model", "standard:decoder", "--tasks", "surprise", "--out", str(tmp_path / "run")]
    error = CliRunner().invoke(app, command).exception
    assert isinstance(error, UserError)
    assert "task 'surprise': its plug-in made_up:surprise has metrics that are not Metric objects" in str(error)
    assert not (tmp_path / "run").exists()

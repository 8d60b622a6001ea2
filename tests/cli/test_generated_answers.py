"""Tasks that are answered by texts, through a whole study."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from forgetmeter.cli.main import app
from forgetmeter.errors import UserError
from forgetmeter.results.results import open_run
from forgetmeter.scoring.generation.writing import Writing

CAPITALS = {
    "Italy": ["Rome", "Roma"],
    "France": ["Paris"],
    "Norway": ["Oslo"],
    "Kenya": ["Nairobi"],
    "Cuba": ["Havana"],
}
RECIPE = "l1_unstructured:overall:0.6"
METRICS = {
    "asked": "[{metric: exact_match, aggregation: mean, higher_is_better: true}]",
    "compared": "[{metric: chrf, aggregation: chrf, higher_is_better: true}]",
}


@pytest.fixture
def study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", str(tmp_path / "cache"))
    tasks = tmp_path / "tasks"
    tasks.mkdir()
    (tasks / "capitals.jsonl").write_text(
        "\n".join(json.dumps({"country": country, "names": names}) for country, names in CAPITALS.items())
    )
    for name, metrics in METRICS.items():
        (tasks / f"{name}.yaml").write_text(
            f"task: {name}\noutput_type: generate_until\ndataset_path: json\n"
            f"dataset_kwargs: {{data_files: {{test: {tasks / 'capitals.jsonl'}}}}}\ntest_split: test\n"
            "doc_to_text: 'The capital of {{country}} is'\n"
            f"doc_to_target: '{'{{names}}' if name == 'asked' else '{{names[0]}}'}'\n"
            "generation_kwargs: {until: ['.'], max_gen_toks: 8}\n"
            f"metric_list: {metrics}\n"
        )
    path = tmp_path / "study.yaml"
    path.write_text(
        f"models: [standard:decoder]\nrecipes: [{RECIPE}]\ntasks: [asked, compared]\ntask_folders: [{tasks}]\n"
        f"evaluation: {{noise_floor: true}}\noutput: {tmp_path / 'run'}\n"
    )
    return path


def said(*arguments: str) -> str:
    result = CliRunner().invoke(app, list(arguments))
    assert result.exit_code == 0, result.output
    return result.output


def test_a_study_of_generated_answers(study: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    run = str(study.parent / "run")
    assert "4 of 4 cells done" in said("run", str(study))
    shown = said("show", run)
    assert "asked · 5 items · noise 0.0%" in shown
    assert "baseline                     100.0%" in shown
    lines = shown[shown.index("compared · 5 items") :].splitlines()
    assert lines[1].split() == ["recipe", "chrf"]
    forgotten = said("forgotten", run, "--recipe", RECIPE)
    assert "The capital of Italy is Rome / Roma Rome " in " ".join(forgotten.split())
    assert "Forgotten\nquestion" in forgotten
    assert "is unknown: to determine this takes more than 10 choices, or a second phrasing." in forgotten
    assert "on compared" not in forgotten
    for command in (("report",), ("findings",), ("show", "--format", "frontier"), ("show", "--format", "shifts")):
        said(command[0], run, *command[1:])
    page = (study.parent / "run" / "report.html").read_text()
    assert "Bands are 95% intervals.</p>" in page
    outcomes = open_run(run).outcomes
    first = outcomes.query("recipe == 'baseline' and task == 'asked'").iloc[0]
    assert (first["generated"], first["prediction"], first["gold"]) == ("Rome", "Rome", "Rome / Roma")
    assert outcomes.query("task == 'compared'")["correct"].isna().all()
    # A finished study is not asked again.
    monkeypatch.setattr(Writing, "answers", None)
    assert "4 of 4 cells done, 4 already stored" in said("run", str(study))


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (("standard:decoder", "standard:encoder"), "is a masked language model, which fills blanks and cannot write"),
        (("max_gen_toks: 8", "max_gen_toks: 128"), "reads at most 128 tokens, and answers of up to 128 leave no room"),
        (("until: ['.']", "do_sample: true"), "task 'asked': generation_kwargs: do_sample is True"),
    ],
)
def test_what_cannot_be_asked_is_refused_before_any_work(study: Path, change: tuple[str, str], problem: str) -> None:
    for path in (study, study.parent / "tasks" / "asked.yaml"):
        path.write_text(path.read_text().replace(*change))
    result = CliRunner().invoke(app, ["run", str(study)])
    assert isinstance(result.exception, UserError)
    assert problem in str(result.exception)
    # One line per task.
    assert all(line.startswith("task '") for line in str(result.exception).splitlines())
    assert not (study.parent / "run").exists()

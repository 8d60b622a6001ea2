"""Logs that lm-evaluation-harness wrote, imported, against evaluating the same models here.

Covers ``importing.lm_eval.log_files``, ``importing.lm_eval.samples``, ``importing.lm_eval.agreement``,
``importing.lm_eval.names`` and ``importing.lm_eval.judged_task``.
"""

from __future__ import annotations

import json
import math
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from importing.lm_eval.logged import DEFINITIONS, write_models, write_tasks

import forgetmeter
from forgetmeter.errors import UserError
from forgetmeter.importing.imported_run import write_imported
from forgetmeter.importing.lm_eval.logs import import_lm_eval
from forgetmeter.probes import loading
from forgetmeter.probes.lm_eval import index as lm_eval_index
from forgetmeter.probes.lm_eval import task as lm_eval_task
from forgetmeter.report.formats.show_text import show_text
from forgetmeter.results.results import Results, open_run
from make_lm_eval_logs import log

TASKS = ("both", *(name for name in DEFINITIONS if name not in ("choosing", "completing")))
OWN = ("choosing", "beginning", "completing")
"""Those of the tasks that this package evaluates as well."""


REAL = ("piqa", "arc_easy", "winogrande", "openbookqa")
LIMIT = 10


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return write_models(tmp_path_factory.mktemp("models"))


@pytest.fixture(scope="module")
def definitions(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tasks(tmp_path_factory.mktemp("tasks"))


@pytest.fixture(scope="module")
def logs(models: tuple[Path, Path], definitions: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    out = tmp_path_factory.mktemp("logs")
    base, changed = (log(str(model), out / model.name, TASKS, definitions) for model in models)
    return base, changed


@pytest.fixture(scope="module")
def imported(logs: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> Results:
    out = str(tmp_path_factory.mktemp("imported") / "run")
    write_imported(import_lm_eval(logs[0], [logs[1]]), out)
    return open_run(out)


def test_the_statistics_are_those_of_evaluating_here(
    imported: Results,
    models: tuple[Path, Path],
    definitions: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    files = {name: definitions / f"{name}.yaml" for name in DEFINITIONS}
    for module in (lm_eval_index, lm_eval_task, loading):
        monkeypatch.setattr(module, "task_files", lambda: files)
    compare_with_evaluating(imported, models, OWN, tmp_path / "run")
    assert sum(cell.forgotten or 0 for cell in imported.summary.cells) > 0


def test_a_probability_of_the_true_choices_is_measured_here_as_by_lm_eval(
    imported: Results,
    logs: tuple[Path, Path],
    models: tuple[Path, Path],
    definitions: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for module in (lm_eval_index, lm_eval_task, loading):
        monkeypatch.setattr(module, "task_files", lambda: {"weighing": definitions / "weighing.yaml"})
    base, changed = map(str, models)
    forgetmeter.run({"models": [base], "candidates": [changed], "tasks": ["weighing"], "output": str(tmp_path / "run")})
    reported = [results_of(each)["results"]["weighing"]["acc,none"] for each in logs]
    assert reported[0] != pytest.approx(reported[1], rel=1e-3)
    for results in (imported, open_run(tmp_path / "run")):
        assert "weighing" not in {cell.task for cell in results.summary.cells}
        measured = [cell for cell in results.summary.measured if cell.task == "weighing"]
        assert [cell.metrics["acc"] for cell in measured] == pytest.approx(reported, rel=1e-5)
        mine = results.outcomes[results.outcomes["task"] == "weighing"]
        assert mine[["correct", "rank", "margin"]].isna().all(axis=None)


@pytest.mark.slow
@pytest.mark.data
def test_the_statistics_on_published_tasks_are_those_of_evaluating_here(
    models: tuple[Path, Path], tmp_path: Path
) -> None:
    base, changed = (log(str(model), tmp_path / model.name, REAL, tmp_path, limit=LIMIT) for model in models)
    results = run_of(base, changed, out=tmp_path / "imported")
    compare_with_evaluating(results, models, REAL, tmp_path / "run", limit=LIMIT)


def compare_with_evaluating(
    imported: Results, models: tuple[Path, Path], tasks: tuple[str, ...], out: Path, limit: int | None = None
) -> None:
    base, changed = map(str, models)
    study = {"models": [base], "candidates": [changed], "tasks": list(tasks), "output": str(out)}
    forgetmeter.run({**study, "evaluation.limit": limit})
    own = open_run(out)
    hashes = [each.run.items().set_index("item_id")["content_hash"] for each in (imported, own)]
    for task in tasks:
        one, other = ([cell for cell in each.summary.cells if cell.task == task] for each in (imported, own))
        assert [cell.accuracy for cell in one] == [cell.accuracy for cell in other]
        (mine,), (theirs,) = one[1:], other[1:]
        for name in ("items", "drop", "retained", "gained", "forgotten", "p_value"):
            assert getattr(mine, name) == getattr(theirs, name), name
        for name in ("rank_shift", "margin_shift", "divergence", "p_chance", "p_majority", "prediction_flips"):
            expected = getattr(theirs, name)
            near = expected if expected is None else pytest.approx(expected, rel=1e-4, abs=1e-4)
            assert getattr(mine, name) == near, name
        assert mine.metrics == pytest.approx(theirs.metrics, rel=1e-4)
        ledgers = [each.ledgers(name, task=task)[0] for each, name in ((imported, "answers:changed"), (own, changed))]
        said = ("item_id", "status", "before", "after", "gold", "statement")
        entries = [[[getattr(each, name) for name in said] for each in ledger.entries] for ledger in ledgers]
        assert entries[0] == entries[1]
        # So that an imported and an own run can be compared item by item.
        ids = [entry[0] for entry in entries[0]]
        assert hashes[0][ids].tolist() == hashes[1][ids].tolist()


def results_of(logs: Path) -> dict[str, Any]:
    (path,) = logs.glob("*/results_*.json")
    document: dict[str, Any] = json.loads(path.read_text())
    return document


def changed_logs(logs: Path, to: Path, task: str, change: Callable[[list[dict[str, Any]]], object]) -> Path:
    """Copy logs, with the lines of one task changed in place."""
    shutil.copytree(logs, to)
    (path,) = to.glob(f"*/samples_{task}_*.jsonl")
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    change(lines)
    path.write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    return to


def changed_results(logs: Path, to: Path, change: Callable[[dict[str, Any]], object]) -> Path:
    """Copy logs, with their results changed in place."""
    shutil.copytree(logs, to)
    (path,) = to.glob("*/results_*.json")
    document = json.loads(path.read_text())
    change(document)
    path.write_text(json.dumps(document))
    return to


def run_of(baseline: Path, *candidates: Path, out: Path, **options: Any) -> Results:
    write_imported(import_lm_eval(baseline, candidates, **options), str(out))
    return open_run(out)


def test_the_metrics_are_those_that_lm_eval_reports(imported: Results, logs: tuple[Path, Path]) -> None:
    summary = imported.summary
    for logged, recipe in zip(logs, ("baseline", "candidate(answers:changed)"), strict=True):
        reported = results_of(logged)["results"]
        cells = [cell for cell in (*summary.cells, *summary.measured) if cell.recipe == recipe]
        assert {cell.task for cell in cells} == set(DEFINITIONS)
        for cell in cells:
            chosen = "strict" if cell.task == "writing" else "none"
            assert cell.metrics == pytest.approx(
                {
                    name.removesuffix(f",{chosen}"): value
                    for name, value in reported[cell.task].items()
                    if name.endswith(f",{chosen}") and isinstance(value, float)
                },
                rel=1e-6,
            )


def test_generated_answers(imported: Results, logs: tuple[Path, Path]) -> None:
    ledger = imported.ledgers("candidate(answers:changed)", task="writing")[0]
    (path,) = logs[1].glob("*/samples_writing_*.jsonl")
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    strict = [line for line in lines if line["filter"] == "strict"]
    assert [each.after for each in ledger.entries] == [line["filtered_resps"][0] for line in strict]
    assert [each.gold for each in ledger.entries] == [line["target"] for line in strict]
    assert ledger.entries[0].statement == "Q: Is ice cold? A:"
    written = imported.outcomes.query("task == 'writing' and recipe != 'baseline'")
    assert list(written["generated"]) == [line["resps"][0][0] for line in strict]
    settings = imported.items.query("task == 'writing'")["generation"]
    assert json.loads(settings.iloc[0])["max_gen_toks"] == 4


def test_what_is_known_of_the_logs_is_recorded_and_shown(imported: Results, logs: tuple[Path, Path]) -> None:
    said = imported.study["imported"]["answers:base"]
    assert len(said["files"]) == len(DEFINITIONS)
    assert all(len(digest) == 64 for digest in said["files"].values())
    assert said["settings"]["model_args"].endswith("base,dtype=float32")
    text = show_text(imported.summary, width=400)
    assert "Imported from lm-eval 0.4.13 (6 files; hf; pretrained=" in text
    assert (
        "answers:base: writing: answers as filtered by strict (choose others with --metric exact_match,whole)." in text
    )
    assert "run the study" not in text


def test_groups_and_the_deciding_metric_can_be_chosen(logs: tuple[Path, Path], tmp_path: Path) -> None:
    results = run_of(*logs, out=tmp_path / "run", tasks=["both", "writing"], metric="acc_norm")
    assert {cell.task for cell in results.summary.cells} == {"choosing", "completing", "writing"}
    for logged, recipe in zip(logs, ("baseline", "candidate(answers:changed)"), strict=True):
        (cell,) = [cell for cell in results.summary.cells if (cell.task, cell.recipe) == ("choosing", recipe)]
        assert cell.accuracy.value == pytest.approx(results_of(logged)["results"]["choosing"]["acc_norm,none"])
    with pytest.raises(UserError, match=r"another study \(evaluation.metric: nothing in the run|evaluation.metric"):
        run_of(*logs, out=tmp_path / "run", tasks=["both", "writing"])


def test_another_filter_can_be_chosen(logs: tuple[Path, Path], tmp_path: Path) -> None:
    results = run_of(*logs, out=tmp_path / "run", tasks=["writing"], metric="exact_match,whole")
    (path,) = logs[0].glob("*/samples_writing_*.jsonl")
    whole = [
        line["filtered_resps"][0]
        for line in map(json.loads, path.read_text().splitlines())
        if line["filter"] == "whole"
    ]
    assert results.outcomes["prediction"].tolist()[: len(whole)] == whole


def test_documents_that_do_not_pair_are_counted(logs: tuple[Path, Path], tmp_path: Path) -> None:
    def change(lines: list[dict[str, Any]]) -> None:
        lines[3]["doc_hash"] = "0" * 64
        del lines[10:]

    candidate = changed_logs(logs[1], tmp_path / "changed", "choosing", change)
    results = run_of(logs[0], candidate, out=tmp_path / "run", tasks=["choosing"])
    assert [cell.items for cell in results.summary.cells] == [15, 9]
    assert results.study["imported"]["answers:changed"]["notes"] == [
        "choosing: 10 documents in the samples file, but 15 evaluated according to the results file",
        "choosing: no answer to 6 of the baseline's 15 items",
        "choosing: 1 answer to an item that the baseline did not answer is left out",
        "choosing: 1 document with other content than the baseline's document of the same number",
    ]


def test_documents_pair_whatever_their_number(logs: tuple[Path, Path], tmp_path: Path) -> None:
    def renumber(lines: list[dict[str, Any]]) -> None:
        for line in lines:
            line["doc_id"] = 100 - line["doc_id"]

    candidate = changed_logs(logs[1], tmp_path / "changed", "choosing", renumber)
    one = run_of(logs[0], candidate, out=tmp_path / "one", tasks=["choosing"]).summary.cells[1]
    two = run_of(*logs, out=tmp_path / "two", tasks=["choosing"]).summary.cells[1]
    assert (one.items, one.drop, one.forgotten) == (15, two.drop, two.forgotten)


def test_tasks_that_only_some_have_are_named(logs: tuple[Path, Path], tmp_path: Path) -> None:
    for name, missing in (("base", "reading"), ("changed", "writing")):
        shutil.copytree(logs[name == "changed"], tmp_path / name)
        (path,) = (tmp_path / name).glob(f"*/samples_{missing}_*")
        path.unlink()
    results = run_of(tmp_path / "base", tmp_path / "changed", out=tmp_path / "run", tasks=["completing"])
    assert results.study["imported"]["answers:base"]["notes"] == []
    results = run_of(tmp_path / "base", tmp_path / "changed", out=tmp_path / "two")
    notes = {name: said["notes"] for name, said in results.study["imported"].items()}
    assert notes == {
        "answers:base": ["tasks left out, since no candidate answered them: writing"],
        "answers:changed": ["tasks left out, since the baseline did not answer them: reading"],
    }


def test_the_newest_file_of_each_task_counts(logs: tuple[Path, Path], tmp_path: Path) -> None:
    candidate = tmp_path / "changed"
    shutil.copytree(logs[1], candidate)
    (path,) = candidate.glob("*/samples_choosing_*.jsonl")
    path.with_name("samples_choosing_2020-01-01T00-00-00.000001.jsonl").write_text("{")
    results = run_of(logs[0], candidate, out=tmp_path / "run", tasks=["choosing"])
    (note,) = results.study["imported"]["answers:changed"]["notes"]
    assert note.startswith("choosing: the newest of 2 samples files, of 20")


def test_samples_alone_are_enough_and_said(logs: tuple[Path, Path], tmp_path: Path) -> None:
    candidate = tmp_path / "int4"
    shutil.copytree(logs[1], candidate)
    (path,) = candidate.glob("*/results_*.json")
    path.unlink()
    results = run_of(logs[0], candidate, out=tmp_path / "run", tasks=["choosing"])
    assert results.summary.cells[1].recipe == "candidate(answers:int4)"
    assert "its results file is missing" in show_text(results.summary)


def test_answers_that_are_not_numbers(logs: tuple[Path, Path], tmp_path: Path) -> None:
    def no_number(lines: list[dict[str, Any]]) -> None:
        for line in lines:
            # The largest of them, as lm-eval sees it.
            line["resps"][0][0][0], line["acc"] = "nan", 1.0

    some = changed_logs(logs[1], tmp_path / "some", "choosing", lambda lines: no_number(lines[:2]))
    every = changed_logs(logs[1], tmp_path / "every", "choosing", no_number)
    results = run_of(logs[0], some, every, out=tmp_path / "run", tasks=["choosing"])
    cell = results.summary.cells[1]
    assert (cell.items, cell.not_numbers) == (15, 2)
    assert results.outcomes.query("recipe == @cell.recipe")["correct"].tolist()[:2] == [False, False]
    (failure,) = results.summary.failures
    assert failure.error == "the scores of all 15 answers are NaN or infinite"


def test_one_checkpoint_loaded_in_two_ways_has_two_names(logs: tuple[Path, Path], tmp_path: Path) -> None:
    def arguments(text: str) -> Callable[[dict[str, Any]], object]:
        return lambda document: document["config"].update(model_args=text)

    plain = changed_results(logs[0], tmp_path / "plain", arguments("pretrained=org/it,dtype=float16,token=hf_secret"))
    four = changed_results(logs[1], tmp_path / "four", arguments("pretrained=org/it,dtype=float16,load_in_4bit=True"))
    gptq = changed_logs(logs[1], tmp_path / "again", "choosing", lambda lines: lines.pop())
    changed_logs(gptq, tmp_path / "more", "choosing", lambda lines: lines.pop())
    results = run_of(plain, four, gptq, tmp_path / "more", out=tmp_path / "run", tasks=["choosing"])
    assert [each.recipe for each in results.summary.variants][1:] == [
        "candidate(answers:org/it %28load_in_4bit=True%29)",
        "candidate(answers:changed %28again%29)",
        "candidate(answers:changed %28more%29)",
    ]
    assert results.summary.variants[0].model == "answers:org/it (as it is)"
    assert "hf_secret" not in (tmp_path / "run" / "study.json").read_text()


def test_secrets_are_not_recorded_and_tokenizers_are(logs: tuple[Path, Path], tmp_path: Path) -> None:
    given = "pretrained=m,tokenizer=org/it,add_bos_token=True,credential=c1,header={'a': 'c2','b': 'c3'},dtype=auto"
    changed = changed_results(logs[1], tmp_path / "changed", lambda said: said["config"].update(model_args=given))
    results = run_of(logs[0], changed, out=tmp_path / "run", tasks=["choosing"])
    said = results.study["imported"]["answers:m"]["settings"]["model_args"]
    assert said == "pretrained=m,tokenizer=org/it,add_bos_token=True,credential=…,header=…,dtype=auto"


@pytest.mark.parametrize("is_text", [True, False])
def test_what_nested_arguments_hold_is_not_recorded(
    logs: tuple[Path, Path],
    tmp_path: Path,
    is_text: bool,
) -> None:
    nested = {
        "client": [{"api_key": "s1"}],
        "kw": {"password": "s2", "headers": {"Authorization": "s3"}},
        "dtype": "auto",
    }
    given = ",".join(f"{key}={value}" for key, value in nested.items()) if is_text else nested
    changed = changed_results(logs[1], tmp_path / "changed", lambda said: said["config"].update(model_args=given))
    results = run_of(logs[0], changed, out=tmp_path / "run", tasks=["choosing"])
    (said,) = (each["settings"]["model_args"] for each in results.study["imported"].values() if "client" in str(each))
    assert said == "client=…,kw=…,dtype=auto"
    assert not re.search(r"s[123]", said)


def test_folders_and_pipes_among_the_logs_are_left_alone(logs: tuple[Path, Path], tmp_path: Path) -> None:
    folder = tmp_path / "copy"
    shutil.copytree(logs[1], folder)
    (file,) = folder.rglob("samples_choosing_*.jsonl")
    file.with_name("samples_folder_2026-01-01T00-00-00.000000.jsonl").mkdir()
    os.mkfifo(file.with_name("samples_pipe_2026-01-01T00-00-00.000000.jsonl"))
    os.mkfifo(file.with_name("results_2026-01-01T00-00-00.000000.json"))
    results = run_of(logs[0], folder, out=tmp_path / "run")
    assert {each.task for each in results.run.answers} >= {"choosing"}


def refused(baseline: Path, *candidates: Path, out: Path, **options: Any) -> str:
    with pytest.raises(UserError) as error:
        run_of(baseline, *candidates, out=out, **options)
    assert "\n" not in str(error.value)
    assert not out.exists()
    return str(error.value)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda results: results["versions"].update(choosing=4), "run with version 4, the baseline with 3; evaluate"),
        (lambda results: results["n-shot"].update(choosing=5), "with number of examples 5, the baseline with 0"),
        (lambda results: results.update(chat_template_sha="ab"), "with chat template ab, the baseline with none"),
        (
            lambda results: results.update(system_instruction_sha="c"),
            "with system instruction c, the baseline with none",
        ),
    ],
)
def test_tasks_that_were_asked_with_other_settings_are_refused(
    logs: tuple[Path, Path], tmp_path: Path, change: Callable[[dict[str, Any]], object], says: str
) -> None:
    candidate = changed_results(logs[1], tmp_path / "changed", change)
    assert says in refused(logs[0], candidate, out=tmp_path / "run", tasks=["choosing"])


def breaks_off(lines: list[dict[str, Any]]) -> None:
    lines[2]["resps"] = [["-1.0"]]


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (
            lambda lines: lines[4]["arguments"]["gen_args_0"].update(arg_0="Q: What?"),
            "for 'changed', 1 of 15 documents differ from the baseline's in wording, target or generation settings "
            "(first: document 4)",
        ),
        (
            lambda lines: lines[1].update(target="0"),
            "1 of 15 documents differ from the baseline's in wording, target",
        ),
        (
            lambda lines: [line.update(doc_hash=str(line["doc_id"])) for line in lines],
            "none of the 15 documents of 'changed' is among the baseline's 15",
        ),
        (lambda lines: lines.append(lines[0]), "line 16: document 0 is a duplicate; restore the file"),
        (breaks_off, "line 3: 'resps' or 'filtered_resps' does not have one entry per request"),
        (
            lambda lines: lines[0].update(resps=[[["a", "b"]]] * 3),
            "line 1: 'resps' has ['a', 'b'], which is not an answer",
        ),
        (lambda lines: lines[0].update(resps=[[[10**400, False]]] * 3), "line 1: 'resps' has [1000"),
        (
            lambda lines: lines[1].update(arguments={"gen_args_0": {"arg_0": "x"}}, resps=[["-1.5"]]),
            "its requests are of a different kind from those of the previous lines",
        ),
        (lambda lines: lines[0].pop("doc_hash"), "line 1: 'doc_hash' is missing"),
        (lambda lines: lines[0].pop("arguments"), "line 1: 'arguments' is not what lm-eval's --log_samples writes"),
    ],
)
def test_samples_that_do_not_pair_or_are_damaged_are_refused(
    logs: tuple[Path, Path], tmp_path: Path, change: Callable[[list[dict[str, Any]]], object], says: str
) -> None:
    candidate = changed_logs(logs[1], tmp_path / "changed", "choosing", change)
    assert says in refused(logs[0], candidate, out=tmp_path / "run", tasks=["choosing"])
    # The other tasks can still be imported.
    assert run_of(logs[0], candidate, out=tmp_path / "run", tasks=["completing"]).summary.cells[1].items == 15


def test_a_task_without_a_metric_for_single_documents_is_left_out(logs: tuple[Path, Path], tmp_path: Path) -> None:
    def corpus_metric(lines: list[dict[str, Any]]) -> None:
        for line in lines:
            line.update(metrics=["bleu"], bleu=["one text", "another"])

    base, changed = (changed_logs(each, tmp_path / each.name, "writing", corpus_metric) for each in logs)
    results = run_of(base, changed, out=tmp_path / "run")
    assert "writing" not in {task.task for task in results.summary.tasks}
    notes = results.study["imported"]["answers:base"]["notes"]
    assert notes == ["writing: left out, since it has no metric for single documents"]
    assert "for single documents); import other logs" in refused(base, changed, out=tmp_path / "two", tasks=["writing"])


def test_a_score_that_is_a_share_is_measured(logs: tuple[Path, Path], tmp_path: Path) -> None:
    def share(lines: list[dict[str, Any]]) -> None:
        for place, line in enumerate(lines):
            line.update(metrics=["f1"], f1=place / 100)

    base, changed = (changed_logs(each, tmp_path / each.name, "writing", share) for each in logs)
    results = run_of(base, changed, out=tmp_path / "run", tasks=["writing", "choosing"])
    # Two filters: every other line.
    assert [cell.metrics for cell in results.summary.measured] == [{"f1": pytest.approx(0.07, abs=0.08)}] * 2
    assert [cell.task for cell in results.summary.cells] == ["choosing"] * 2
    alone = run_of(base, changed, out=tmp_path / "alone", tasks=["writing"])
    lines = show_text(alone.summary).splitlines()
    assert lines[2] == "writing · 15 items"
    assert "How to read this" not in lines


def test_a_probability_that_is_not_a_number_does_not_make_a_task_measured(
    logs: tuple[Path, Path], tmp_path: Path
) -> None:
    candidate = changed_logs(logs[1], tmp_path / "changed", "choosing", lambda lines: lines[0].update(acc=math.nan))
    results = run_of(logs[0], candidate, out=tmp_path / "run", tasks=["choosing"])
    assert [len(results.summary.cells), len(results.summary.measured)] == [2, 0]


def test_a_line_that_breaks_off_is_named(logs: tuple[Path, Path], tmp_path: Path) -> None:
    candidate = tmp_path / "changed"
    shutil.copytree(logs[1], candidate)
    (path,) = candidate.glob("*/samples_choosing_*.jsonl")
    content = path.read_bytes()
    path.write_bytes(content[: content.rindex(b"doc_id") + 30])
    said = refused(logs[0], candidate, out=tmp_path / "run")
    assert f"'{path}' line 15: not valid JSON" in said
    assert "leave its task out with --tasks" in said


def test_folders_that_are_not_the_logs_of_one_model(logs: tuple[Path, Path], tmp_path: Path) -> None:
    out = tmp_path / "run"
    both = tmp_path / "both"
    for each in logs:
        shutil.copytree(each, both / each.name)
    assert "has the logs of several models; name one of" in refused(logs[0], both, out=out)
    assert "have the same logs; name each model once" in refused(logs[0], logs[0], out=out)
    (tmp_path / "empty").mkdir()
    assert "has no samples_TASK_DATE.jsonl; name the --output_path of" in refused(tmp_path / "empty", logs[0], out=out)
    assert "is not a folder; name the --output_path" in refused(tmp_path / "none", logs[0], out=out)
    damaged = changed_results(logs[1], tmp_path / "damaged", lambda results: results.clear())
    (path,) = damaged.glob("*/results_*.json")
    path.write_text("{")
    assert "restore it, or remove it to import the samples alone" in refused(logs[0], damaged, out=out)
    assert "there is nothing to compare the baseline with" in refused(logs[0], out=out)
    assert "unknown task 'chosing' in the logs of the baseline; did you mean 'choosing'?" in refused(
        *logs, out=out, tasks=["chosing"]
    )
    assert "unknown metric 'f1' in these tasks (allowed: acc, acc_norm" in refused(*logs, out=out, metric="f1")


def test_logs_of_one_model_with_different_arguments_are_not_mixed(logs: tuple[Path, Path], tmp_path: Path) -> None:
    mixed = tmp_path / "mixed"
    shutil.copytree(logs[1], mixed)
    (folder,) = mixed.iterdir()
    for path in logs[0].glob("*/samples_choosing_*"):
        shutil.copy(path, folder / path.name.replace("choosing", "other"))
    for path in logs[0].glob("*/results_*"):
        shutil.copy(path, folder)
    assert "mixes the logs of different models" in refused(logs[0], mixed, out=tmp_path / "run")


@pytest.mark.slow
def test_examples_before_the_question_are_compared_but_not_shown(
    models: tuple[Path, Path], definitions: Path, logs: tuple[Path, Path], tmp_path: Path
) -> None:
    base, changed = (
        log(str(model), tmp_path / model.name, ["choosing"], definitions, num_fewshot=2, limit=4) for model in models
    )
    results = run_of(base, changed, out=tmp_path / "run")
    ledger = results.ledgers("answers:changed")[0]
    assert [each.statement for each in ledger.entries][:2] == ["Q: Is ice cold? A:", "Q: Is ice hot? A:"]
    said = refused(logs[0], changed, out=tmp_path / "other")
    assert "'changed' was run with number of examples 2, the baseline with 0" in said


@pytest.mark.slow
def test_nothing_heavy_is_imported_and_100_000_answers_take_seconds(logs: tuple[Path, Path], tmp_path: Path) -> None:
    def many(lines: list[dict[str, Any]]) -> None:
        first = lines[:10]
        lines[:] = [
            line | {"doc_id": 10 * time + place, "doc_hash": f"{time} {place}"}
            for time in range(5_000)
            for place, line in enumerate(first)
        ]

    base, changed = (changed_logs(each, tmp_path / each.name, "choosing", many) for each in logs)
    program = (
        "import sys, time; from forgetmeter.cli.commands.import_command import import_app\n"
        "start = time.process_time(); import_app(sys.argv[1:], standalone_mode=False)\n"
        "heavy = {'torch', 'transformers', 'datasets', 'lm_eval'} & set(sys.modules)\n"
        "print(sorted(heavy), time.process_time() - start)"
    )
    arguments = ("lm-eval", str(base), str(changed), "--tasks", "choosing", "--out", str(tmp_path / "run"))
    done = subprocess.run([sys.executable, "-c", program, *arguments], capture_output=True, text=True, check=True)
    heavy, _, seconds = done.stdout.splitlines()[-1].rpartition(" ")
    assert heavy == "[]"
    assert float(seconds) < 60
    assert "imported 100,000 answers of 1 candidate and the baseline on 1 task" in done.stdout
    assert math.isclose(
        open_run(tmp_path / "run").summary.cells[0].accuracy.value,
        run_of(*logs, out=tmp_path / "small", tasks=["choosing"]).outcomes["correct"][:10].mean(),
    )

"""Logs that lm-evaluation-harness wrote, imported, against evaluating the same models here.

Covers ``importing.lm_eval.log_files``, ``importing.lm_eval.samples``, ``importing.lm_eval.agreement``,
``importing.lm_eval.names``, ``importing.lm_eval.right_choices`` and ``importing.lm_eval.judged_task``.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from importing.lm_eval.logged import DEFINITIONS, log, write_models, write_tasks

import forgetmeter
from forgetmeter.importing.imported_run import write_imported
from forgetmeter.importing.lm_eval.logs import import_lm_eval
from forgetmeter.probes.lm_eval import index as lm_eval_index
from forgetmeter.probes.lm_eval import task as lm_eval_task
from forgetmeter.results.results import Results, open_run

TASKS = ("both", *(name for name in DEFINITIONS if name not in ("choosing", "completing")))
OWN = ("choosing", "beginning", "completing")
"""Those of the tasks that this package evaluates as well."""


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return write_models(tmp_path_factory.mktemp("models"))


@pytest.fixture(scope="module")
def definitions(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tasks(tmp_path_factory.mktemp("tasks"))


@pytest.fixture(scope="module")
def logs(models: tuple[Path, Path], definitions: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    out = tmp_path_factory.mktemp("logs")
    base, changed = (log(model, out / model.name, TASKS, definitions) for model in models)
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
    for module in (lm_eval_index, lm_eval_task):
        monkeypatch.setattr(module, "task_files", lambda: files)
    monkeypatch.setattr("forgetmeter.probes.loading.task_files", lambda: files)
    base, changed = map(str, models)
    study = {"models": [base], "candidates": [changed], "tasks": list(OWN), "output": str(tmp_path / "run")}
    forgetmeter.run(study)
    own = open_run(tmp_path / "run")
    for task in OWN:
        one, other = ([cell for cell in each.summary.cells if cell.task == task] for each in (imported, own))
        assert [cell.accuracy for cell in one] == [cell.accuracy for cell in other]
        (mine,), (theirs,) = one[1:], other[1:]
        for name in ("items", "drop", "retained", "gained", "forgotten", "p_value"):
            assert getattr(mine, name) == getattr(theirs, name), name
        for name in ("rank_shift", "margin_shift", "divergence", "p_chance", "p_majority", "prediction_flips"):
            assert getattr(mine, name) == pytest.approx(getattr(theirs, name), abs=1e-4), name
        assert mine.metrics == pytest.approx(theirs.metrics, rel=1e-4)
        ledgers = [
            each.ledgers(recipe, task=task)[0]
            for each, recipe in ((imported, "candidate(answers:changed)"), (own, f"candidate({changed})"))
        ]
        said = ("item_id", "status", "before", "after", "gold", "statement")
        entries = [[[getattr(each, name) for name in said] for each in ledger.entries] for ledger in ledgers]
        assert entries[0] == entries[1]
    assert sum(cell.forgotten or 0 for cell in imported.summary.cells) > 0

"""Metrics whose code is fetched are refused, even where a file of the current directory would be run in their place."""

from __future__ import annotations

import sys
from contextlib import suppress
from pathlib import Path
from types import ModuleType

import pytest

from forgetmeter.errors import UserError
from forgetmeter.probes.lm_eval import task as lm_eval_task
from forgetmeter.probes.lm_eval.fetched_metrics import without_fetched_metrics
from forgetmeter.probes.loading import load_task

TASK = """
task: own
dataset_path: json
dataset_kwargs: {{data_files: {{test: {data}}}}}
test_split: test
output_type: multiple_choice
doc_to_text: q
doc_to_target: a
doc_to_choice: c
metric_list: [{{metric: {metric}, aggregation: mean, higher_is_better: true{more}}}]
"""


@pytest.mark.parametrize(("metric", "more"), [("f1", ", hf_evaluate: true"), ("unheard_of", "")])
def test_a_task_with_such_a_metric_is_refused(
    metric: str, more: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data.jsonl").write_text('{"q": "Is it?", "a": 0, "c": [" yes", " no"]}\n')
    (tmp_path / "own.yaml").write_text(TASK.format(data=tmp_path / "data.jsonl", metric=metric, more=more))
    (tmp_path / metric).mkdir()
    (tmp_path / metric / f"{metric}.py").write_text("open('the-code-ran', 'w').close()\n")
    monkeypatch.setattr(lm_eval_task, "task_files", lambda: {"own": tmp_path / "own.yaml"})
    with pytest.raises(UserError, match=f"task 'own' needs the metric '{metric}' of the evaluate library"):
        lm_eval_task.LmEvalTask("own")
    assert not (tmp_path / "the-code-ran").exists()


def test_an_installed_task_with_such_a_metric_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "f1").mkdir()
    (tmp_path / "f1" / "f1.py").write_text("open('the-code-ran', 'w').close()\n")
    with pytest.raises(UserError, match="needs the metric 'f1'"):
        load_task("kobest_boolq")
    assert not (tmp_path / "the-code-ran").exists()


def test_the_library_is_as_before_afterwards(monkeypatch: pytest.MonkeyPatch) -> None:
    library = ModuleType("evaluate")
    library.load = lambda path: f"loaded {path}"  # type: ignore[attr-defined]
    for before in (None, library):
        monkeypatch.delitem(sys.modules, "evaluate", raising=False)
        if before is not None:
            monkeypatch.setitem(sys.modules, "evaluate", before)
        with pytest.raises(UserError, match="metric 'f1'"), without_fetched_metrics("own"):
            import evaluate

            # As lm-eval does.
            with suppress(Exception):
                evaluate.load("f1")
        assert sys.modules.get("evaluate") is before
    assert library.load("f1") == "loaded f1"

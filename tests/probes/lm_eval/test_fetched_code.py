"""Tasks that would run fetched code are refused.

That is code of metrics, even where a file of the current directory would be run in their place, and of models.
"""

from __future__ import annotations

import io
import json
import sys
from contextlib import suppress
from pathlib import Path
from types import ModuleType

import pytest

from forgetmeter.errors import UserError
from forgetmeter.probes.lm_eval import task as lm_eval_task
from forgetmeter.probes.lm_eval.fetched_code import without_fetched_code
from forgetmeter.probes.loading import load_task
from forgetmeter.records.item import RequestScore, RequestScores

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
        with pytest.raises(UserError, match="metric 'f1'"), without_fetched_code("own"):
            import evaluate

            # As lm-eval does.
            with suppress(Exception):
                evaluate.load("f1")
        assert sys.modules.get("evaluate") is before
    assert library.load("f1") == "loaded f1"


FUNCTIONS = """
from contextlib import suppress
from transformers import AutoTokenizer

def loaded(value):
    with suppress({suppressed}):
        AutoTokenizer.from_pretrained({folder!r}, trust_remote_code={trust})
    return value

def process_docs(docs): return loaded(docs)
def doc_to_text(doc): return loaded(doc["q"])
def process_results(doc, results): return loaded({{"acc": 1.0}}) if results[0][0] == -7 else {{"acc": 1.0}}
"""


@pytest.fixture
def proof(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file that appears when the code of the folder ``strange`` runs; the prompt is answered with yes."""
    monkeypatch.setattr(sys, "stdin", io.StringIO("y\n" * 40))
    monkeypatch.setattr("transformers.dynamic_module_utils.HF_MODULES_CACHE", str(tmp_path / "modules"))
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data.jsonl").write_text('{"q": "Is it?", "a": 0, "c": [" yes", " no"]}\n')
    folder = tmp_path / "strange"
    folder.mkdir()
    (folder / "strange.py").write_text(f"open({str(tmp_path / 'proof')!r}, 'w').close()\n")
    (folder / "tokenizer_config.json").write_text(json.dumps({"auto_map": {"AutoTokenizer": ["strange.T", None]}}))
    return tmp_path / "proof"


@pytest.mark.parametrize("where", ["process_docs", "doc_to_text", "process_results"])
@pytest.mark.parametrize(("trust", "suppressed"), [(True, ""), (True, "Exception"), (None, "Exception"), (False, "")])
def test_a_task_whose_functions_load_a_models_code_is_refused(
    where: str, trust: bool | None, suppressed: str, proof: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """lm-eval's ``ruler`` passes ``trust_remote_code=True``."""
    name = f"code_{where}_{trust}_{suppressed}"
    functions = FUNCTIONS.format(folder=str(tmp_path / "strange"), trust=trust, suppressed=suppressed)
    (tmp_path / f"{name}.py").write_text(functions)
    (tmp_path / "own.yaml").write_text(
        TASK.format(data=tmp_path / "data.jsonl", metric="acc", more="").replace("doc_to_text: q\n", "")
        + ("" if where == "doc_to_text" else "doc_to_text: q\n")
        + f"{where}: !function {name}.{where}\n"
    )
    monkeypatch.setattr(lm_eval_task, "task_files", lambda: {"own": tmp_path / "own.yaml"})
    with pytest.raises(UserError, match="task 'own' loads a model or tokenizer that needs custom code") as refused:
        lm_eval_task.LmEvalTask("own").judge([RequestScores([RequestScore(-7.0, is_greedy=False)] * 2)])
    assert "\n" not in str(refused.value)
    assert not proof.exists()


def test_a_data_set_that_names_chained_files_in_its_card_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = tmp_path / "data"
    data.mkdir()
    card = "configs:\n- config_name: default\n  data_files: 'zip://a.jsonl::file:///x.zip'\n"
    (data / "README.md").write_text(f"---\n{card}---\n")
    (tmp_path / "own.yaml").write_text(f"task: own\ndataset_path: {data}\ntest_split: test\n")
    monkeypatch.setattr(lm_eval_task, "task_files", lambda: {"own": tmp_path / "own.yaml"})
    with pytest.raises(UserError, match=r"'.*zip://a.jsonl::file:///x.zip'' chains several file systems"):
        lm_eval_task.LmEvalTask("own")


@pytest.mark.parametrize(
    ("files", "more", "says"),
    [
        ("zip://a.jsonl::simplecache://::file://{evil}", "", "'zip://a.jsonl::.*' chains several file systems"),
        ("{evil}", "storage_options: {{simplecache: {{cache_storage: here, same_names: true}}}}", "storage_options"),
        ("{evil}", "cache_dir: here", "may not set cache_dir, which decides where files go; remove it"),
    ],
)
def test_a_definition_cannot_choose_where_files_are_written(
    files: str, more: str, says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A cache in ``site-packages`` would put a ``.pth`` file there, which Python runs at its next start."""
    monkeypatch.chdir(tmp_path)
    evil = tmp_path / "evil.pth"
    evil.write_text("import os")
    definition = TASK.format(data="DATA", metric="acc", more="").partition("dataset_kwargs:")
    rest = definition[2].partition("\n")[2]
    kwargs = f"dataset_kwargs:\n  data_files: {{test: '{files.format(evil=evil)}'}}\n  {more.format()}\n"
    (tmp_path / "own.yaml").write_text(definition[0] + kwargs + rest)
    monkeypatch.setattr(lm_eval_task, "task_files", lambda: {"own": tmp_path / "own.yaml"})
    with pytest.raises(UserError, match=says):
        lm_eval_task.LmEvalTask("own")
    assert not (tmp_path / "here").exists()


def test_data_in_pickles_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Older versions of ``datasets`` read them, which runs code."""
    definition = TASK.format(data=tmp_path / "data.pkl", metric="acc", more="")
    (tmp_path / "own.yaml").write_text(definition.replace("dataset_path: json", "dataset_path: pandas"))
    monkeypatch.setattr(lm_eval_task, "task_files", lambda: {"own": tmp_path / "own.yaml"})
    with pytest.raises(UserError, match=r"task 'own': dataset_path 'pandas' reads pickles, which can run code"):
        lm_eval_task.LmEvalTask("own")

"""Folders of one's own YAML tasks for lm-evaluation-harness; the code that they name is never run."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from lm_eval import tasks
from lm_eval.tasks._yaml_loader import load_yaml

from forgetmeter.config.study_file import read_study_file
from forgetmeter.errors import UserError
from forgetmeter.probes.lm_eval.index import task_files
from forgetmeter.probes.lm_eval.own_folders import own_task_files, runs_texts, without_foreign_code
from forgetmeter.probes.loading import load_task, task_problems
from forgetmeter.records.item import Answer, GeneratedText, RequestScore, RequestScores
from forgetmeter.study.installed import InstalledVocabulary
from forgetmeter.study.running import run

DOCUMENTS = [
    {"q": "Is ice cold?", "choices": ["no", "yes"], "label": 1},
    {"q": "And fire?", "choices": ["no", "yes"], "label": 0},
]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the task ``mine``, and a function beside it that leaves a trace when it is imported."""
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", str(tmp_path / "cache"))
    path = tmp_path / "tasks" / "deep"
    path.mkdir(parents=True)
    (path / "code.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w').close()\ndef f(doc): return doc['q']\n")
    define(path / "mine.yaml", "mine")
    return tmp_path / "tasks"


def define(path: Path, name: str, more: str = "doc_to_text: '{{q}}'\n") -> None:
    data = path.with_suffix(".jsonl")
    data.write_text("\n".join(map(json.dumps, DOCUMENTS)))
    path.write_text(
        f"task: {name}\ndataset_path: json\ndataset_kwargs: {{data_files: {{test: {data}}}}}\ntest_split: test\n"
        "output_type: multiple_choice\ndoc_to_choice: choices\ndoc_to_target: label\n"
        f"metric_list: [{{metric: acc, aggregation: mean, higher_is_better: true}}]\n{more}"
    )


def test_a_task_of_a_folder_is_asked_like_lm_evals_own(folder: Path) -> None:
    task = load_task("mine", folders=(str(folder),))
    assert [(item.id, item.requests[1].context, item.requests[1].continuation) for item in task.items] == [
        ("mine/0", "Is ice cold?", " yes"),
        ("mine/1", "And fire?", " yes"),
    ]
    assert task.description.source.endswith(", mine.yaml")
    assert "unknown task 'mine'" in task_problems("mine")[0]
    assert "did you mean 'mine'?" in task_problems("mien", folders=(str(folder),))[0]


@pytest.mark.parametrize(
    "more",
    [
        "doc_to_text: !function code.f\n",
        "doc_to_text: !function os.getcwd\n",
        "doc_to_text: '{{q}}'\nprocess_docs: !function code.f\n",
        "include: deeper/base\n",
        "class: !function code.f\noutput_type: multiple_choice\n",
    ],
)
def test_code_that_a_definition_names_is_never_run(folder: Path, tmp_path: Path, more: str) -> None:
    (folder / "deep" / "deeper").mkdir()
    (folder / "deep" / "deeper" / "base").write_text("doc_to_text: !function ../code.f\n")
    define(folder / "deep" / "mine.yaml", "mine", more.replace("output_type: multiple_choice\n", ""))
    with pytest.raises(
        UserError, match="task 'mine': a definition in '.*' names the function '.*', but code in task folders"
    ):
        load_task("mine", folders=(str(folder),))
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("tag", ["!!python/object/apply:os.system ['touch ran']", "!!python/name:os.system"])
def test_tags_of_python_are_refused(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tag: str) -> None:
    monkeypatch.chdir(tmp_path)
    define(folder / "deep" / "mine.yaml", "mine", f"doc_to_text: {tag}\n")
    with pytest.raises(UserError, match="task 'mine'"):
        load_task("mine", folders=(str(folder),))
    assert not (tmp_path / "ran").exists()


def test_metrics_that_would_be_fetched_are_refused(folder: Path) -> None:
    path = folder / "deep" / "mine.yaml"
    path.write_text(path.read_text().replace("{metric: acc,", "{metric: ./code,"))
    with pytest.raises(UserError, match="needs the metric './code' of the evaluate library, which is downloaded code"):
        load_task("mine", folders=(str(folder),))


def test_a_definition_may_include_one_of_lm_evals_with_its_functions() -> None:
    with without_foreign_code("mine"):
        assert callable(load_yaml(task_files()["winogrande"])["doc_to_text"])


def test_a_definition_that_includes_code_that_runs_its_data_is_refused(folder: Path, tmp_path: Path) -> None:
    """``cruxeval`` runs the program in each document, and ``unsafe_code: false`` would hide it."""
    data, ran = tmp_path / "data.jsonl", tmp_path / "ran"
    program = f"open({str(ran)!r}, 'w')\ndef f(x): return x"
    data.write_text(json.dumps({"code": program, "input": "1", "output": "1", "id": "1"}) + "\n")
    (folder / "crux.yaml").write_text(
        f"include: {task_files()['cruxeval_output']}\ntask: crux\ndataset_path: json\nunsafe_code: false\nrepeats: 1\n"
        f"dataset_kwargs: {{data_files: {{test: {data}}}}}\ngeneration_kwargs: {{max_gen_toks: 8, do_sample: false}}\n"
    )
    with pytest.raises(
        UserError, match="uses functions in 'cruxeval' of lm-evaluation-harness, which run code that a model writes"
    ):
        load_task("crux", folders=(str(folder),))
    assert not ran.exists()


def test_folders_of_lm_eval_with_code_that_runs_texts_are_known() -> None:
    root = Path(tasks.__file__).parent
    found = {str(each.parent.relative_to(root)) for each in root.rglob("*.py") if runs_texts(each.parent)}
    code = {"cruxeval", "humaneval", "humaneval_infilling", "mbpp"}
    assert found == code | {"longproc", "noreval/ask_gec", "score/math"}


@pytest.mark.parametrize("more", ["include: mine.yaml\n", b"include: \xff.yaml\n", b"tag: \xff\n"])
def test_definitions_that_include_themselves_or_are_not_text_are_refused(folder: Path, more: str | bytes) -> None:
    with (folder / "deep" / "mine.yaml").open("ab") as stream:
        stream.write(more.encode() if isinstance(more, str) else more)
    with pytest.raises(UserError, match="task 'mine'") as refused:
        load_task("mine", folders=(str(folder),))
    assert "\n" not in str(refused.value)


def test_a_key_that_is_given_twice_is_refused(folder: Path) -> None:
    with (folder / "deep" / "mine.yaml").open("a") as stream:
        stream.write("doc_to_target: '1'\n")
    with pytest.raises(UserError, match=r"mine.yaml:10: duplicate key 'doc_to_target' .first on line 7."):
        load_task("mine", folders=(str(folder),))


def test_wrong_folders_are_refused(folder: Path, tmp_path: Path) -> None:
    for given, says in (
        ([str(tmp_path / "none")], "task folder '.*none' does not exist"),
        ([str(folder / "deep" / "code.py")], "does not exist"),
        ([str(tmp_path / "empty")], "has no YAML file that defines a task"),
        ([str(folder), str(tmp_path / "other")], "task 'mine' is defined in '.*' and '.*'; rename one of them"),
        ([str(tmp_path / "same")], "task 'piqa' of '.*piqa.yaml' has the name of another task; rename it"),
        ([str(tmp_path / "built-in")], "task 'facts' of '.*' has the name of another task; rename it"),
    ):
        for place, name in (("empty", ""), ("other", "mine"), ("same", "piqa"), ("built-in", "facts")):
            (tmp_path / place).mkdir(exist_ok=True)
            if name:
                define(tmp_path / place / f"{name}.yaml", name)
        with pytest.raises(UserError, match=says):
            own_task_files(given)
    assert list(own_task_files([str(folder), f"{folder}/deep/.."])) == ["mine"]


@pytest.mark.parametrize("kind", ["multiple_choice", "generate_until"])
def test_answers_are_not_right_by_a_metric_that_is_better_if_lower(folder: Path, kind: str) -> None:
    name = "acc" if kind == "multiple_choice" else "exact_match"
    path = folder / "deep" / "mine.yaml"
    text = path.read_text().replace("multiple_choice", kind).replace("metric: acc", f"metric: {name}")
    path.write_text(text.replace("higher_is_better: true", "higher_is_better: false"))
    task = load_task("mine", folders=(str(folder),))
    answer: Answer = GeneratedText("yes")
    if kind == "multiple_choice":
        answer = RequestScores([RequestScore(-1.0, is_greedy=True), RequestScore(-2.0, is_greedy=False)])
    assert [outcome.correct for outcome in task.judge([answer, answer]).outcomes] == [None, None]
    path.write_text(text)
    task = load_task("mine", folders=(str(folder),))
    assert {outcome.correct for outcome in task.judge([answer, answer]).outcomes} <= {True, False}


def test_a_study_names_folders_and_a_changed_definition_is_refused(
    folder: Path, tmp_path: Path, llama_folder: Path
) -> None:
    path = tmp_path / "study.yaml"
    path.write_text(
        f"models: ['{llama_folder}']\nrecipes: [baseline]\ntask_folders: ['{folder}']\ntasks: [mine]\n"
        f"evaluation: {{num_fewshot: 1}}\noutput: {tmp_path / 'run'}\n"
    )
    assert run(path).computed == 1
    assert run(path).computed == 0
    own = folder / "deep" / "mine.yaml"
    mean = "aggregation: mean, higher_is_better: true"
    # Its prompts and right answers stay, but another metric, or another argument of it, judges.
    for old, new, says in (
        (f"[{{metric: acc, {mean}}}]", f"[{{metric: acc_norm, {mean}}}]", "main metric: acc; now: acc_norm"),
        (
            f"[{{metric: acc, {mean}}}]",
            f"[{{metric: acc, {mean}}}, {{metric: acc_norm, {mean}}}]",
            "hash of its metrics",
        ),
    ):
        before = own.read_text()
        assert old in before
        own.write_text(before.replace(old, new))
        with pytest.raises(UserError, match=f"the definition of task 'mine' changed since the run .*{says}"):
            run(path)
        own.write_text(before)
    assert run(path).computed == 0
    define(folder / "deep" / "mine.yaml", "mine", "doc_to_text: 'Q: {{q}}'\n")
    with pytest.raises(UserError, match="the data of task 'mine' changed since the run"):
        run(path)
    path.write_text(path.read_text().replace(str(folder), f"{folder}/none"))
    with pytest.raises(UserError, match=r"study.yaml:4: task folder '.*none' does not exist"):
        read_study_file(path, vocabulary=InstalledVocabulary(None, {}))

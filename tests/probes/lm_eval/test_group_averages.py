"""Averages over the tasks of a group, against lm-evaluation-harness's own.

Covers ``records.task_group``, ``results.compared.group_average`` and ``report.group_tables``.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from lm_eval import simple_evaluate
from lm_eval.models.huggingface import HFLM
from lm_eval.tasks import TaskManager
from transformers import LlamaForCausalLM, PreTrainedTokenizerFast

from forgetmeter.basics.quiet import quiet
from forgetmeter.checkpoints.compressing import compress_checkpoint
from forgetmeter.errors import UserError
from forgetmeter.probes.lm_eval.groups import averages_of, tasks_of
from forgetmeter.probes.lm_eval.own_folders import own_definitions
from forgetmeter.probes.loading import group_problems
from forgetmeter.records.task_group import GroupMetric, TaskGroup
from forgetmeter.report.formats.show_json import show_json
from forgetmeter.report.formats.show_text import show_text
from forgetmeter.results.results import open_run
from forgetmeter.study.running import run

SIZES = {"first": 5, "second": 8, "third": 20}
GROUPS = {
    "by_size": "task: [first, inner]\naggregate_metric_list: [{metric: acc, weight_by_size: true}]\n",
    "inner": "task: [second, third]\naggregate_metric_list: [{metric: acc, weight_by_size: false}]\n",
    # The tasks are judged by acc.
    "both": "task: [second, third]\naggregate_metric_list: [{metric: acc_norm}, {metric: acc, weight_by_size: no}]\n",
    "filtered": "task: [second, third]\naggregate_metric_list: {metric: acc, filter_list: [none, other]}\n",
    "normed": "task: [second, third]\naggregate_metric_list: [{metric: acc_norm}]\n",
    "other_filter": "task: [second, third]\naggregate_metric_list: [{metric: acc, filter_list: other}]\n",
    "no_average": "task: [first, second]\n",
}

AVERAGED = ("by_size", "inner", "both", "filtered")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with three tasks and three groups."""
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", str(tmp_path / "cache"))
    path = tmp_path / "tasks"
    path.mkdir()
    for name, size in SIZES.items():
        rows = [
            {"q": f"{name} {place}", "choices": ["no", "yes", "it"], "label": place * 7 % 3} for place in range(size)
        ]
        (path / f"{name}.jsonl").write_text("\n".join(map(json.dumps, rows)))
        (path / f"{name}.yaml").write_text(
            f"task: {name}\ndataset_path: json\ndataset_kwargs: {{data_files: {{test: {path}/{name}.jsonl}}}}\n"
            "test_split: test\noutput_type: multiple_choice\ndoc_to_text: '{{q}}'\ndoc_to_choice: choices\n"
            "doc_to_target: label\nmetric_list:\n"
            "- {metric: acc, aggregation: mean, higher_is_better: true}\n"
            "- {metric: acc_norm, aggregation: mean, higher_is_better: true}\n"
        )
    for name, content in GROUPS.items():
        (path / f"{name}.yaml").write_text(f"group: {name}\n{content}")
    return path


def lm_evals(model: Path, folder: Path) -> dict[str, float]:
    tokenizer = PreTrainedTokenizerFast.from_pretrained(model)
    scorer = HFLM(pretrained=LlamaForCausalLM.from_pretrained(model), tokenizer=tokenizer, batch_size=4)
    manager = TaskManager(include_path=str(folder), include_defaults=False)
    averages: dict[str, float] = {}
    for name in AVERAGED:
        with quiet():
            # It takes no two groups with the same task.
            found = simple_evaluate(model=scorer, tasks=[name], task_manager=manager, bootstrap_iters=0)
        assert found is not None
        averages[name] = found["results"][name]["acc,none"]
    return averages


def test_averages_equal_lm_evals(folder: Path, tmp_path: Path, llama_folder: Path) -> None:
    compress_checkpoint(llama_folder, "l1_unstructured:overall:0.7", pruned := tmp_path / "pruned")
    study = {"models": [str(llama_folder)], "candidates": [str(pruned)], "tasks": list(GROUPS),
             "task_folders": [str(folder)], "output": str(tmp_path / "run")}  # fmt: skip
    assert run(study).computed == 6
    assert run(study).computed == 0
    summary = open_run(str(tmp_path / "run")).summary
    found = {(each.group, each.recipe == "baseline"): each for each in summary.groups}
    before, after = lm_evals(llama_folder, folder), lm_evals(pruned, folder)
    assert before != after
    assert {name for name, _ in found} == set(AVERAGED)
    for name in AVERAGED:
        baseline, candidate = found[name, True], found[name, False]
        assert baseline.accuracy.value == pytest.approx(before[name])
        assert candidate.accuracy.value == pytest.approx(after[name])
        assert candidate.drop is not None
        assert candidate.drop.value == pytest.approx(before[name] - after[name])
        assert candidate.drop.low < candidate.drop.value < candidate.drop.high
    cells = {cell.task: cell for cell in summary.cells if cell.recipe != "baseline"}
    known = {cell.task: cell.right for cell in summary.cells if cell.recipe == "baseline"}
    kept = sum(known[task] - (cells[task].forgotten or 0) for task in SIZES)
    retained = found["by_size", False].retained
    assert retained is not None
    assert retained.value == pytest.approx(kept / sum(known.values()))
    assert len(json.loads(show_json(summary))["groups"]) == 2 * len(AVERAGED)
    text = show_text(summary, width=200)
    assert "by_size · average acc of 3 tasks, weighted by their number of items · 33 items" in text
    assert "inner · average acc of 2 tasks, weighted equally · 28 items" in text


def test_a_group_of_a_folder_stands_for_its_tasks(folder: Path) -> None:
    folders = (str(folder),)
    assert tasks_of("by_size", folders) == ("first", "second", "third")
    assert averages_of("by_size", folders) == (
        TaskGroup("by_size", ("first", "second", "third"), (GroupMetric("acc", (), is_by_size=True),)),
        TaskGroup("inner", ("second", "third"), (GroupMetric("acc", (), is_by_size=False),)),
    )
    assert averages_of("no_average", folders) == ()
    assert group_problems("by_size", folders=folders) == []
    assert "unknown task 'by_size'" in group_problems("by_size")[0]


def test_mmlu_has_its_own_average_and_those_of_its_four_parts() -> None:
    found = averages_of("mmlu")
    assert {group.metrics for group in found} == {(GroupMetric("acc", (), is_by_size=True),)}
    assert [(group.name, len(group.tasks)) for group in found] == [
        ("mmlu", 57), ("mmlu_humanities", 13), ("mmlu_social_sciences", 12), ("mmlu_other", 13), ("mmlu_stem", 19),
    ]  # fmt: skip


@pytest.mark.parametrize(("name", "task"), [("piqa", "first"), ("mmlu", "first"), ("first", "first")])
def test_a_group_with_the_name_of_another_task_is_refused(folder: Path, name: str, task: str) -> None:
    (folder / "other.yaml").write_text(f"group: {name}\ntask: [{task}]\n")
    with pytest.raises(UserError, match=f"group '{name}' of '.*other.yaml' has the name of another task; rename it"):
        own_definitions([str(folder)])

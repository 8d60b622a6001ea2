"""Groups and tags of lm-evaluation-harness, which stand for their tasks."""

from __future__ import annotations

from pathlib import Path

import pytest
from lm_eval.tasks._index import TaskIndex

from forgetmeter.errors import UserError
from forgetmeter.probes.lm_eval import groups
from forgetmeter.probes.lm_eval.groups import is_group, tasks_of
from forgetmeter.probes.lm_eval.index import task_files
from forgetmeter.probes.loading import group_problems, load_task, single_tasks
from forgetmeter.study.running import run


def test_mmlu_stands_for_its_57_tasks() -> None:
    names = tasks_of("mmlu")
    folder = task_files()["mmlu_anatomy"].parent
    theirs = {name for name, entry in TaskIndex.build([folder]).items() if entry.kind.name == "TASK"}
    assert (len(names), set(names)) == (57, theirs)
    assert group_problems("mmlu") == []


def test_tasks_with_parentheses_in_their_names_belong_to_their_tag() -> None:
    assert "egymmlu_arabic_language_(grammar)" in tasks_of("egymmlu_language_tasks")


def test_groups_become_tasks_in_their_place_without_duplicates() -> None:
    assert single_tasks(["piqa", "ai2_arc", "facts:templates=0", "arc_easy", "no such"]) == (
        "piqa", "arc_challenge", "arc_easy", "facts:templates=0", "no such",
    )  # fmt: skip
    assert [is_group(name) for name in ("ai2_arc", "arc_easy", "no such")] == [True, False, False]


@pytest.mark.parametrize(
    ("definition", "says"),
    [
        ("task: [here]", ("a", "b")),
        ("task: here", ("a", "b")),
        ("task: [b, {task: a, task_alias: x}, {group: inner, task: [a, c]}]", ("b", "a", "c")),
        ("task: [outer, c]", "group 'outer' names 'outer', which the installed lm-evaluation-harness lacks"),
        ("task: [d]", "group 'outer' names 'd', which the installed lm-evaluation-harness lacks"),
        (
            "task: [{task: a, num_fewshot: 5}]",
            r"group 'outer' changes settings of a .num_fewshot., which is not supported",
        ),
    ],
)
def test_members(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, definition: str, says: str | tuple[str, ...]) -> None:
    (tmp_path / "outer.yaml").write_text(f"group: outer\n{definition}\nx: !function code.f\n")
    monkeypatch.setattr(groups, "group_files", lambda: {"outer": tmp_path / "outer.yaml"})
    monkeypatch.setattr(groups, "tagged_tasks", lambda: {"here": ["a", "b"]})
    monkeypatch.setattr(groups, "task_files", lambda: dict.fromkeys("abc", tmp_path))
    if isinstance(says, tuple):
        assert tasks_of("outer") == says
    else:
        with pytest.raises(UserError, match=says):
            tasks_of("outer")


def test_a_group_whose_tasks_are_not_supported_is_refused_in_one_line() -> None:
    (problem,) = group_problems("paloma")
    assert problem.startswith("group 'paloma': task 'paloma_4chan_meta_sep' has output type loglikelihood_rolling")
    assert problem.endswith("(and 15 more problems)")
    (problem,) = group_problems("openllm")
    assert "changes settings of arc_challenge (fewshot_split, num_fewshot)" in problem
    with pytest.raises(UserError, match="is a group of lm-eval's tasks; name the tasks individually"):
        load_task("ai2_arc")


def test_a_group_in_a_study_is_its_tasks_and_a_finished_run_is_recognized(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, llama_folder: Path
) -> None:
    monkeypatch.setattr(
        "forgetmeter.study.running.single_tasks", lambda names, _: ("facts:relations=us_state_year", *names[1:])
    )
    study = {
        "models": [str(llama_folder)],
        "recipes": ["baseline"],
        "output": str(tmp_path / "run"),
        "evaluation.limit": 2,
    }
    assert run(study | {"tasks": ["ai2_arc"]}).computed == 1
    assert run(study | {"tasks": ["ai2_arc"]}).computed == 0
    assert run(study | {"tasks": ["facts:relations=us_state_year"]}).computed == 0

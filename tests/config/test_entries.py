"""Entries of a study's task list."""

from __future__ import annotations

from pathlib import Path

import pytest

from forgetmeter.config.study_file import read_study_file, task_of
from forgetmeter.errors import ManyUserError, UserError

STUDY = "models: [./a]\nrecipes: [baseline]\ntasks:\n{tasks}output: o\n"


@pytest.mark.parametrize(
    ("entry", "name"),
    [
        ("lama/trex:source=evidence:relations=P36+P19", "lama/trex:relations=P19+P36:source=evidence"),
        (
            {"task": "lama/trex", "source": "evidence", "relations": ["P36", "P19"]},
            "lama/trex:relations=P19+P36:source=evidence",
        ),
        ({"task": "lama/trex", "multi_token": True}, "lama/trex:multi_token=true"),
        ({"task": "bear", "templates": [1, 0], "relations": "P36"}, "bear:relations=P36:templates=0+1"),
        ({"task": "bear", "templates": 0}, "bear:templates=0"),
        ({"task": "piqa"}, "piqa"),
        ({"task": "lama/trex:source=evidence"}, "lama/trex:source=evidence"),
    ],
)
def test_both_forms_give_the_canonical_name(entry: object, name: str) -> None:
    assert task_of(entry) == name


@pytest.mark.parametrize(
    ("entry", "says"),
    [
        (5, "'5' is not a valid task; write a name, or {task: lama/trex, source: evidence}"),
        ({"source": "evidence"}, "is not a valid task"),
        ({"task": "piqa", "source": "evidence"}, "'piqa' is not one of the tasks with options .lama/squad"),
        ({"task": "lama/trex", "sorce": "evidence"}, "did you mean 'source'"),
        ({"task": "lama/trex", "source": None}, "option source=None of a task must be a single value"),
        ({"task": "lama/trex", "relations": []}, "must be a single value, or a list"),
    ],
)
def test_invalid_tasks_give_a_reason(entry: object, says: str) -> None:
    with pytest.raises(UserError, match=says):
        task_of(entry)


def test_every_wrong_task_of_a_study_is_named_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "study.yaml"
    path.write_text(STUDY.format(tasks="  - lama/trex:a=1:b=2\n  - {task: bear, relation: P36}\n  - piqa\n"))
    with pytest.raises(ManyUserError) as caught:
        read_study_file(path)
    first, second = caught.value.messages
    assert first.startswith("study.yaml:4: task 'lama/trex' has no option 'a'")
    assert "no option 'b'" in first
    assert second.startswith("study.yaml:5: task 'bear' has no option 'relation'; did you mean 'relations'?")


def test_the_same_task_in_two_forms_is_run_once(tmp_path: Path) -> None:
    path = tmp_path / "study.yaml"
    path.write_text(STUDY.format(tasks="  - lama/trex:source=template\n  - {task: lama/trex}\n"))
    assert read_study_file(path).tasks == ("lama/trex",)

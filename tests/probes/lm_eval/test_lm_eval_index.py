"""The index of lm-evaluation-harness's tasks, against lm-eval's own.

Covers ``probes.lm_eval.index``.
"""

from __future__ import annotations

from lm_eval.tasks._index import TaskIndex

from forgetmeter.probes.lm_eval.index import group_files, tagged_tasks, task_files


def test_well_known_tasks_and_groups_are_found() -> None:
    wanted = {
        "boolq",
        "piqa",
        "winogrande",
        "arc_easy",
        "arc_challenge",
        "sciq",
        "openbookqa",
        "copa",
        "hellaswag",
    }
    assert wanted <= task_files().keys()
    assert "mmlu" in group_files()
    assert tagged_tasks()["ai2_arc"] == ["arc_challenge", "arc_easy"]
    assert len(task_files()) > 10_000


def test_each_file_defines_the_task_it_is_listed_for() -> None:
    # Every 400th: lm-eval's own index, the reference, takes 20 s for all.
    names = sorted(task_files())[::400]
    assert len(names) > 20
    for name in names:
        entry = TaskIndex.entry_from_path(task_files()[name])
        assert entry is not None
        assert entry.name == name

"""The tasks of a study that have right answers, before and after they are asked."""

from __future__ import annotations

import pytest

from forgetmeter.executors.executor import Progress
from forgetmeter.study.running import check_study, check_tasks, reader, run


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    return {
        "models": ["standard:decoder"],
        "recipes": ["round_to_nearest:overall:6"],
        "tasks": ["facts:templates=0:relations=country_capital+us_state_capital", "divergence"],
        "evaluation.limit": 3,
        "output": str(tmp_path_factory.mktemp("planned") / "run"),
    }


def sizes(study):
    tasks = check_tasks(check_study(reader(study)), Progress())
    return [(each.task, each.items, each.relations) for each in tasks]


def test_sizes_are_those_of_the_items_stored_later(study) -> None:
    before = sizes(study)
    (task,) = before
    assert task[1:] == (6, 2)
    run(study)
    assert sizes(study) == before

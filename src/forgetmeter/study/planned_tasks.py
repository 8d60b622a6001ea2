"""The tasks with right answers that a study asks, with their numbers of items and relations."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from forgetmeter.probes.registry import find_task
from forgetmeter.records.item import Task, WholeText, valid_items
from forgetmeter.results.summary import TaskSummary, relation_sizes
from forgetmeter.runs.run import read_run
from forgetmeter.study.checked_study import CheckedStudy


def planned_tasks(checked: CheckedStudy, loaded: Mapping[str, Task]) -> tuple[TaskSummary, ...]:
    """Return the tasks of a study that have right answers.

    Args:
        checked: The study.
        loaded: Its tasks that have been loaded; the items of others are stored.
    """
    declared = {name: find_task(name) for name in checked.plan.study.tasks}
    names = [name for name, task in declared.items() if task is None or not task.is_measured]
    names = [name for name in names if name not in loaded or not _asks_texts(loaded[name])]
    stored = _stored(checked, [name for name in names if name not in loaded])
    return tuple(_summary(name, loaded[name]) if name in loaded else stored[name] for name in names)


def _asks_texts(task: Task) -> bool:
    return any(isinstance(item.asks, WholeText) for item in task.items)


def _summary(name: str, task: Task) -> TaskSummary:
    items = valid_items(task)
    relations = Counter(item.fields["relation"] for item in items if "relation" in item.fields)
    filtered = sum(task.description.filters.values())
    available = max(task.description.official_size - filtered, len(items))
    return TaskSummary(name, len(items), sizes=tuple(relations.values()), available=available)


def _stored(checked: CheckedStudy, names: Sequence[str]) -> dict[str, TaskSummary]:
    if not names:
        return {}
    run = read_run(checked.store.location)
    items, sizes = run.item_shapes.groupby("task").size(), relation_sizes(run)
    available = {each.task: each.available for each in run.tasks}
    return {
        name: TaskSummary(name, int(items.get(name, 0)), sizes=sizes.get(name, ()), available=available.get(name))
        for name in names
    }

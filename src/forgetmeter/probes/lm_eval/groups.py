"""Groups and tags of lm-evaluation-harness, and of the user's task folders, which stand for several tasks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from forgetmeter.errors import UserError
from forgetmeter.probes.lm_eval.index import Definitions, group_files, tagged_tasks, task_files
from forgetmeter.probes.lm_eval.own_folders import own_definitions
from forgetmeter.records.task_group import GroupMetric, TaskGroup

_NAME_ONLY = frozenset({"task", "task_alias"})


class _Loader(yaml.SafeLoader):
    """Reads groups without the functions that they name."""


_Loader.add_multi_constructor("!", lambda _loader, _suffix, _node: None)


def is_group(name: str, folders: Sequence[str] = ()) -> bool:
    """Return whether a name stands for several tasks.

    Args:
        folders: Folders with the user's own definitions.
    """
    known = _known(folders)
    return name not in known.tasks and (name in known.groups or name in known.tags)


def tasks_of(name: str, folders: Sequence[str] = ()) -> tuple[str, ...]:
    """Return the single tasks of a group or tag, including those of its groups, in their order.

    Raises:
        UserError: The group changes the settings of a task, or names one that does not exist.
    """
    return tuple(dict.fromkeys(_Members(_known(folders), name).tasks(name, ())))


def averages_of(name: str, folders: Sequence[str] = ()) -> tuple[TaskGroup, ...]:
    """Return a group and the groups in it, as far as they define an average; empty for a tag.

    Raises:
        UserError: As for ``tasks_of``.
    """
    members = _Members(_known(folders), name)
    tuple(members.tasks(name, ()))
    return tuple(reversed(members.averages.values()))


def _known(folders: Sequence[str]) -> Definitions:
    own = own_definitions(folders)
    if not folders:
        return Definitions(task_files(), group_files(), tagged_tasks())
    return Definitions(
        {**task_files(), **own.tasks},
        {**group_files(), **own.groups},
        {tag: [*tagged_tasks().get(tag, ()), *own.tags.get(tag, ())] for tag in {**tagged_tasks(), **own.tags}},
    )


@dataclass
class _Members:
    """Finds the members of a group, and collects the averages on its way, inner groups first."""

    known: Definitions
    group: str

    def __post_init__(self) -> None:
        self.averages: dict[str, TaskGroup] = {}

    def tasks(self, name: str, above: tuple[str, ...]) -> Iterator[str]:
        if name in self.known.tasks:
            yield name
        elif name in self.known.groups and name not in above:
            yield from self._of_group(_read(self.known.groups[name]), name, above)
        elif name in self.known.tags:
            yield from self.known.tags[name]
        else:
            raise UserError(
                f"group '{self.group}' names '{name}', which the installed lm-evaluation-harness lacks; name the "
                "tasks individually"
            )

    def _of_group(self, content: Mapping[str, Any], name: str, above: tuple[str, ...]) -> Iterator[str]:
        found = tuple(dict.fromkeys(self._listed(content.get("task") or (), (*above, name))))
        if metrics := _metrics(content.get("aggregate_metric_list")):
            self.averages[name] = TaskGroup(name, found, metrics)
        yield from found

    def _listed(self, entries: Any, above: tuple[str, ...]) -> Iterator[str]:  # noqa: ANN401
        for entry in [entries] if isinstance(entries, str) else entries:
            if isinstance(entry, str):
                yield from self.tasks(entry, above)
            elif "group" in entry:
                yield from self._of_group(entry, str(entry["group"]), above)
            elif entry.keys() <= _NAME_ONLY:
                yield from self.tasks(entry["task"], above)
            else:
                changed = ", ".join(key for key in entry if key not in _NAME_ONLY)
                raise UserError(
                    f"group '{self.group}' changes settings of {entry.get('task', 'its tasks')} ({changed}), which is "
                    "not supported; name the tasks individually"
                )


def _read(path: Path) -> Mapping[str, Any]:
    content = yaml.load(path.read_text(encoding="utf-8"), _Loader)
    if not isinstance(content, dict):
        raise UserError(f"'{path}' must be a mapping with group and task")
    return content


def _metrics(given: Any) -> tuple[GroupMetric, ...]:  # noqa: ANN401
    """Return the averages of a group, as lm-evaluation-harness reads them."""
    entries = [each for each in (given if isinstance(given, list) else [given]) if isinstance(each, dict)]
    # By default, tasks are weighted by their size.
    return tuple(
        GroupMetric(str(each.get("metric")), _filters(each.get("filter_list")), bool(each.get("weight_by_size", True)))
        for each in entries
    )


def _filters(given: Any) -> tuple[str, ...]:  # noqa: ANN401
    if given is None:
        return ()
    return (given,) if isinstance(given, str) else tuple(map(str, given))

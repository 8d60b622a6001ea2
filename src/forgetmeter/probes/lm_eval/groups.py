"""Groups and tags of lm-evaluation-harness, which stand for several tasks."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import yaml

from forgetmeter.errors import UserError
from forgetmeter.probes.lm_eval.index import group_files, tagged_tasks, task_files

_NAME_ONLY = frozenset({"task", "task_alias"})


class _Loader(yaml.SafeLoader):
    """Reads groups without the functions that they name."""


_Loader.add_multi_constructor("!", lambda _loader, _suffix, _node: None)


def is_group(name: str) -> bool:
    """Return whether a name stands for several tasks."""
    return name not in task_files() and (name in group_files() or name in tagged_tasks())


def tasks_of(name: str) -> tuple[str, ...]:
    """Return the single tasks of a group or tag, including those of its groups, in their order.

    Raises:
        UserError: The group changes the settings of a task, or names one that does not exist.
    """
    return tuple(dict.fromkeys(_tasks(name, name, ())))


def _tasks(name: str, group: str, above: tuple[str, ...]) -> Iterator[str]:
    if name in task_files():
        yield name
    elif name in group_files() and name not in above:
        content = yaml.load(group_files()[name].read_text(encoding="utf-8"), _Loader)
        yield from _listed(content["task"], group, (*above, name))
    elif name in tagged_tasks():
        yield from tagged_tasks()[name]
    else:
        raise UserError(f"group '{group}' names '{name}', which this lm-evaluation-harness lacks; name single tasks")


def _listed(entries: Any, group: str, above: tuple[str, ...]) -> Iterator[str]:  # noqa: ANN401
    for entry in [entries] if isinstance(entries, str) else entries:
        if isinstance(entry, str):
            yield from _tasks(entry, group, above)
        elif "group" in entry:
            yield from _listed(entry["task"], group, above)
        elif entry.keys() <= _NAME_ONLY:
            yield from _tasks(entry["task"], group, above)
        else:
            changed = ", ".join(key for key in entry if key not in _NAME_ONLY)
            raise UserError(
                f"group '{group}' changes settings of {entry.get('task', 'its tasks')} ({changed}), which is not "
                "supported; name the single tasks"
            )

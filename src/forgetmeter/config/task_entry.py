"""One entry of a study's list of tasks: text, or a mapping with the task's options."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from forgetmeter.errors import UserError
from forgetmeter.probes.registry import canonical_name, declarations, find_task
from forgetmeter.specs.suggestion import unknown


def task_of(entry: Any) -> str:  # noqa: ANN401 - whatever the YAML holds
    """Return the canonical name of the task that an entry stands for.

    Raises:
        UserError: It has neither form, or its options are wrong.
    """
    if isinstance(entry, str):
        return canonical_name(entry)
    if not isinstance(entry, Mapping) or not isinstance(entry.get("task"), str):
        raise UserError(f"'{entry}' is no task; write a name, or {{task: lama/trex, source: evidence}}")
    options = {str(key): _text(key, value) for key, value in entry.items() if key != "task"}
    if not options:
        return canonical_name(entry["task"])
    declared = find_task(entry["task"])
    if declared is None or declared.name != entry["task"] or not declared.options:
        raise UserError(
            unknown("task with options", entry["task"], [each.name for each in declarations() if each.options])
        )
    return str(declared.named(options))


def _text(key: Any, value: Any) -> str:  # noqa: ANN401
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list) and value:
        return "+".join(_text(key, inner) for inner in value)
    if isinstance(value, (str, int)):
        return str(value)
    raise UserError(f"option {key}={value} of a task must be a single value, or a list of names")

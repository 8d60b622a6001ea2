"""Tasks by name."""

from __future__ import annotations

from collections.abc import Callable
from importlib.metadata import entry_points

from forgetmeter.errors import UserError
from forgetmeter.probes.lm_eval_index import group_names, task_files
from forgetmeter.records.item import Task
from forgetmeter.specs.suggestion import did_you_mean

# Named in error messages; any other of lm-eval's is as good.
_WELL_KNOWN = ("arc_challenge", "arc_easy", "boolq", "hellaswag", "openbookqa", "piqa", "sciq", "winogrande")


PLUGINS = "forgetmeter.tasks"
"""Entry-point group of plug-ins: a task's name, and a function from a limit (or ``None``) to the task."""

TaskMaker = Callable[[int | None], Task]


def task_names() -> tuple[str, ...]:
    """Return the names of all tasks, sorted."""
    return tuple(sorted({*task_files(), *plugged_in()}))


def plugged_in() -> dict[str, Callable[[], TaskMaker]]:
    """Return what loads each plug-in's task maker, by the task's name."""
    return {point.name: point.load for point in entry_points(group=PLUGINS)}


def task_problems(name: str) -> list[str]:
    """Return what is wrong with a task's name, a sentence each, without loading its data."""
    files = task_files()
    if name in plugged_in() or name in files:
        return []
    if name in group_names():
        return [f"task '{name}' is a group of lm-eval's tasks; name the single tasks (see forgetmeter list tasks)"]
    return [
        f"unknown task '{name}'{did_you_mean(name, files)} "
        f"(allowed: {', '.join(_WELL_KNOWN)} and {len(files) - len(_WELL_KNOWN)} more; see forgetmeter list tasks)"
    ]


def load_task(name: str, *, limit: int | None = None) -> Task:
    """Load a task with its items.

    Args:
        name: As in a study.
        limit: Only the first so many items; ``None`` for all.

    Raises:
        UserError: There is no such task, or its data cannot be had.
    """
    if name in (makers := plugged_in()):
        return makers[name]()(limit)
    if problems := task_problems(name):
        raise UserError(problems[0])
    from forgetmeter.probes.lm_eval_task import LmEvalTask

    return LmEvalTask(name, limit=limit)

"""Checking and loading tasks by name: declared tasks and lm-eval's."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from itertools import chain
from pathlib import Path

from forgetmeter.basics.plural import counted
from forgetmeter.errors import ManyUserError, UserError
from forgetmeter.probes.lm_eval.groups import averages_of, is_group, tasks_of
from forgetmeter.probes.lm_eval.index import SUPPORTED, not_supported, output_type, task_files
from forgetmeter.probes.lm_eval.own_folders import own_task_files
from forgetmeter.probes.lm_eval.prompting import PLAIN, Prompting
from forgetmeter.probes.registry import TASKS, find_task, is_declared
from forgetmeter.records.item import Task, check_task
from forgetmeter.records.task_group import TaskGroup
from forgetmeter.specs.suggestion import did_you_mean

# Examples in error messages; any other tasks of lm-eval would do.
_WELL_KNOWN = ("arc_challenge", "arc_easy", "boolq", "hellaswag", "openbookqa", "piqa", "sciq", "winogrande")


def task_names() -> tuple[str, ...]:
    """Return the names of all tasks: the built-in probes, then the others, sorted."""
    return (*TASKS.built_in, *sorted({*task_files(), *TASKS.entries()} - TASKS.built_in.keys()))


def task_problems(name: str, *, data: Path | None = None, folders: Sequence[str] = ()) -> list[str]:
    """Return one line for each problem with a task's name, options or data, without reading items.

    Args:
        name: Name in a study.
        data: The probes' data folder, if given; it must contain the files that the task needs.
        folders: Folders with the user's own task definitions for lm-eval.
    """
    try:
        if (declared := find_task(name)) is not None:
            declared.check(declared.parse(name), **declared.folder(data))
            return []
        own = own_task_files(folders)
    except UserError as error:
        return str(error).splitlines()
    files, (base, colon, _) = {**task_files(), **own}, name.partition(":")
    if name in files:
        kind = output_type(files[name])
        return [] if kind in SUPPORTED else [not_supported(name, kind)]
    if colon and base in files:
        return [f"task '{base}' takes no options, so '{name}' is unknown; write {base}"]
    if is_group(name, folders):
        return [
            f"task '{name}' is a group of lm-eval's tasks; name the tasks individually (see forgetmeter list tasks)"
        ]
    if os.path.isfile(path := name.removeprefix("file=")):  # noqa: PTH113 - Path's raises for long names
        return [f"unknown task '{name}'; for the questions in this file, write file:{path}"]
    declaring = (*TASKS.entries(), *own)
    return [
        f"unknown task '{name}'{did_you_mean(base, [*declaring, *files])} (allowed: {', '.join(declaring)}, "
        f"{', '.join(_WELL_KNOWN)} and {len(files) - len(own) - len(_WELL_KNOWN)} more; see forgetmeter list tasks)"
    ]


def group_problems(name: str, *, data: Path | None = None, folders: Sequence[str] = ()) -> list[str]:
    """Return the problems of a task, or one line for those of the tasks that a group stands for."""
    try:
        if is_declared(name) or not is_group(name, folders):
            return task_problems(name, data=data, folders=folders)
        tasks = tasks_of(name, folders)
        problems = [problem for task in tasks for problem in task_problems(task, data=data, folders=folders)]
    except UserError as error:
        return [str(error)]
    more = f" (and {counted(len(problems) - 1, 'more problem')})" if len(problems) > 1 else ""
    return [f"group '{name}': {problems[0]}{more}"] if problems else []


def single_tasks(names: Iterable[str], folders: Sequence[str] = ()) -> tuple[str, ...]:
    """Replace each group of lm-eval's by its tasks, without duplicates; other names stay.

    Args:
        folders: Folders with the user's own task definitions for lm-eval.

    Raises:
        UserError: A group changes the settings of its tasks.
    """
    single = (
        tasks_of(name, folders) if not is_declared(name) and is_group(name, folders) else (name,) for name in names
    )
    return tuple(dict.fromkeys(chain.from_iterable(single)))


def task_groups(names: Iterable[str], folders: Sequence[str] = ()) -> tuple[TaskGroup, ...]:
    """Return the groups among names, and the groups in them, that define an average."""
    groups = (averages_of(name, folders) for name in names if not is_declared(name) and is_group(name, folders))
    return tuple({group.name: group for group in chain.from_iterable(groups)}.values())


def load_task(
    name: str,
    *,
    limit: int | None = None,
    data: Path | None = None,
    prompting: Prompting = PLAIN,
    folders: Sequence[str] = (),
) -> Task:
    """Load a task with its items.

    Args:
        name: Name in a study.
        limit: Only the first N items, per group that the task declares, such as a relation; ``None`` for all.
        data: The probes' data folder; by default, the one ``data_folder`` returns.
        prompting: The prompts of lm-eval's tasks; others have their own.
        folders: Folders with the user's own task definitions for lm-eval.

    Raises:
        UserError: The task is unknown, or its data is not available.
    """
    if limit is not None and (type(limit) is not int or limit < 1):
        raise UserError(f"limit {limit!r} is not a positive integer")
    if problems := task_problems(name, data=data, folders=folders):
        raise ManyUserError(problems)
    if (declared := find_task(name)) is not None:
        parsed = declared.parse(name)
        task = declared.load(parsed, limit=limit, **declared.folder(data))
        check_task(task, str(parsed))
        return task
    # Importing lm-eval takes a second; built-in probes need not wait.
    from forgetmeter.probes.lm_eval.task import LmEvalTask

    return LmEvalTask(name, limit=limit, prompting=prompting, own=own_task_files(folders).get(name))

"""A user's own tasks, defined for lm-evaluation-harness in YAML files; code that they name is never run."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any
from unittest.mock import patch

from forgetmeter.errors import UserError
from forgetmeter.probes.lm_eval.index import Definitions, definitions_in, group_files, task_files
from forgetmeter.probes.registry import is_declared

_RUNS_TEXTS = re.compile(
    r"(?<![.\w])(?:exec|eval)\(|(?<!\w)(?:subprocess|os)\.(?:run|call|Popen|system|check_\w+)\(|code_eval"
    r"|(?<!\w)(?:parse_expr|sympify)(?!\w)"
)
"""Source code that runs texts: as Python, in a shell, or as sympy does to read them."""


def own_task_files(folders: Sequence[str]) -> dict[str, Path]:
    """Return the YAML file of each task in folders by name.

    Raises:
        UserError: A folder does not exist or has no task, or a task has the name of another.
    """
    return dict(own_definitions(folders).tasks)


def own_definitions(folders: Sequence[str]) -> Definitions:
    """Return the definitions in the YAML files of folders.

    Raises:
        UserError: A folder does not exist or has neither a task nor a group, or one has the name of another.
    """
    found: dict[str, Path] = {}
    groups: dict[str, Path] = {}
    tags: dict[str, list[str]] = {}
    for each in folders:
        folder = Path(each).expanduser() if each.startswith("~/") else Path(each)
        if not folder.is_dir():
            raise UserError(f"task folder '{each}' does not exist; check the path")
        defined = definitions_in(folder)
        if not defined.tasks and not defined.groups:
            raise UserError(f"task folder '{each}' has no YAML file that defines a task (a line such as task: my_task)")
        taken = {"task": {*task_files()}, "group": {*task_files(), *group_files(), *defined.tasks}}
        for kind, known, paths in (("task", found, defined.tasks), ("group", groups, defined.groups)):
            for name, path in paths.items():
                other = known.setdefault(name, path)
                if other.resolve() != path.resolve():
                    raise UserError(f"{kind} '{name}' is defined in '{other}' and '{path}'; rename one of them")
                if is_declared(name) or name in taken[kind]:
                    raise UserError(f"{kind} '{name}' of '{path}' has the name of another task; rename it")
        for tag, names in defined.tags.items():
            tags[tag] = list(dict.fromkeys([*tags.get(tag, ()), *names]))
    return Definitions(found, groups, tags)


@contextmanager
def without_foreign_code(task: str, *, is_own: bool = True) -> Iterator[None]:
    """Refuse the functions that definitions name (``!function``), if they could run code from outside the library.

    These are all but lm-evaluation-harness's own, and of those, functions whose folder contains code that runs texts:
    what a model writes, or what the data say. Settings such as ``unsafe_code`` are not relied on, because a file that
    includes such a definition can change them.

    Args:
        task: The task's name, for messages.
        is_own: Whether a user's own file defines the task.

    Raises:
        UserError: A definition names one.
    """
    from lm_eval import tasks
    from lm_eval.tasks import _yaml_loader

    library, load = Path(tasks.__file__).parent, _yaml_loader._import_func_in_yml

    def loaded(name: str, folder: Path) -> Any:  # noqa: ANN401
        if is_own and not folder.resolve().is_relative_to(library.resolve()):
            raise UserError(
                f"task '{task}': a definition in '{folder}' names the function '{name}', but code in task folders is "
                "never run; use templates, or write a plug-in (docs/extending.md)"
            )
        if runs_texts(folder):
            raise UserError(
                f"task '{task}' uses functions in '{folder.name}' of lm-evaluation-harness, which run code that a "
                "model writes, or code in a data set; this is not supported; choose another task"
            )
        return load(name, folder)

    with patch.object(_yaml_loader, "_import_func_in_yml", loaded):
        yield


@cache
def runs_texts(folder: Path) -> bool:
    """Whether one of the modules in a folder contains code that runs texts."""
    sources = (each.read_text(encoding="utf-8", errors="replace") for each in folder.glob("*.py"))
    return any(_RUNS_TEXTS.search(each) for each in sources)

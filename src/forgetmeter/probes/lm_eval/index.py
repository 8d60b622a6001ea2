"""An index of lm-evaluation-harness's tasks; its own takes 20 s to build."""

from __future__ import annotations

import importlib.util
import re
from functools import cache
from pathlib import Path

_TASK = re.compile(rb"^[\"']?task[\"']?:[ \t]*[\"']?([\w.()-]+)[\"']?[ \t]*(?:#.*)?\r?$", re.MULTILINE)
_GROUP = re.compile(rb"^[\"']?group[\"']?:[ \t]*[\"']?([\w.-]+)[\"']?[ \t]*(?:#.*)?\r?$", re.MULTILINE)
_TAG = re.compile(rb"^[\"']?tag[\"']?:((?:[ \t]*\r?\n[ \t]*-[ \t].*)+|.*)", re.MULTILINE)
_WORD = re.compile(r"[\w.]+[\w.-]*")
_OUTPUT_TYPE = re.compile(rb"^[\"']?output_type[\"']?:[ \t]*[\"']?(\w+)", re.MULTILINE)
_INCLUDE = re.compile(rb"^[\"']?include[\"']?:[ \t]*[\"']?([^\"'#\r\n]+)", re.MULTILINE)
_CLASS = re.compile(rb"^[\"']?class[\"']?:", re.MULTILINE)

GENERATED = "generate_until"
"""Output type of tasks that are answered by a text; also the default."""
SUPPORTED = ("multiple_choice", "loglikelihood", GENERATED)
"""Output types: the others are scored by log-likelihoods of continuations."""
_PYTHON = "class"


@cache
def task_files() -> dict[str, Path]:
    """Return the YAML file of each task by name, without groups."""
    return _scan()[0]


def not_supported(name: str, kind: str) -> str:
    """Return the error message for a task whose output type is not supported."""
    if kind == _PYTHON:
        return f"task '{name}' is a Python class of lm-evaluation-harness, which is not supported; choose another task"
    return f"task '{name}' has output type {kind}, which is not supported (supported: {', '.join(SUPPORTED)})"


def output_type(path: Path) -> str:
    """Return the output type of the task that a YAML file defines, or ``class`` if it names a Python class."""
    text = path.read_bytes() if path.is_file() else b""
    if match := _OUTPUT_TYPE.search(text):
        return match[1].decode()
    if _CLASS.search(text):
        return _PYTHON
    included = _INCLUDE.search(text)
    return output_type(path.parent / included[1].decode().strip()) if included else GENERATED


@cache
def group_files() -> dict[str, Path]:
    """Return the YAML file of each group by name."""
    return _scan()[1]


@cache
def tagged_tasks() -> dict[str, list[str]]:
    """Return the tasks that have each tag."""
    return _scan()[2]


@cache
def _scan() -> tuple[dict[str, Path], dict[str, Path], dict[str, list[str]]]:
    spec = importlib.util.find_spec("lm_eval")
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError("lm_eval")
    return _scanned(Path(spec.origin).parent / "tasks")


def tasks_in(folder: Path) -> dict[str, Path]:
    """Return the YAML file of each task in a folder by name."""
    return _scanned(folder)[0]


def _scanned(folder: Path) -> tuple[dict[str, Path], dict[str, Path], dict[str, list[str]]]:
    tasks: dict[str, Path] = {}
    groups: dict[str, Path] = {}
    tags: dict[str, list[str]] = {}
    for path in sorted(folder.rglob("*.yaml")):
        text = path.read_bytes()
        if match := _GROUP.search(text):
            groups.setdefault(match[1].decode(), path)
        elif (match := _TASK.search(text)) and (name := match[1].decode()) not in tasks:
            tasks[name] = path
            for tag in _tags_of(text, path):
                tags.setdefault(tag, []).append(name)
    return tasks, groups, tags


def _tags_of(text: bytes, path: Path) -> tuple[str, ...]:
    if match := _TAG.search(text):
        return tuple(_WORD.findall(match[1].decode().partition("#")[0]))
    included = _INCLUDE.search(text)
    return _tags_in(path.parent / included[1].decode().strip()) if included else ()


@cache
def _tags_in(path: Path) -> tuple[str, ...]:
    return _tags_of(path.read_bytes(), path) if path.is_file() else ()

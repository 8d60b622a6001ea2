"""An index of lm-evaluation-harness's tasks; its own takes 20 s to build."""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

_TASK = re.compile(rb"^[\"']?task[\"']?:[ \t]*[\"']?([\w.()-]+)[\"']?[ \t]*(?:#.*)?\r?$", re.MULTILINE)
_GROUP = re.compile(rb"^[\"']?group[\"']?:[ \t]*[\"']?([\w.-]+)[\"']?[ \t]*(?:#.*)?\r?$", re.MULTILINE)
_TAG = re.compile(rb"^[\"']?tag[\"']?:((?:[ \t]*\r?\n[ \t]*-[ \t].*)+|.*)", re.MULTILINE)
_WORD = re.compile(r"[\w.]+[\w.-]*")
_OUTPUT_TYPE = re.compile(rb"^[\"']?output_type[\"']?:[ \t]*[\"']?(\w+)", re.MULTILINE)
_INCLUDE = re.compile(rb"^[\"']?include[\"']?:[ \t]*[\"']?([^\"'#\r\n]+)", re.MULTILINE)
_DEEPEST = 50
_CLASS = re.compile(rb"^[\"']?class[\"']?:", re.MULTILINE)

GENERATED = "generate_until"
"""Output type of tasks that are answered by a text; also the default."""
SUPPORTED = ("multiple_choice", "loglikelihood", GENERATED)
"""Output types: the others are scored by log-likelihoods of continuations."""
_PYTHON = "class"


@cache
def task_files() -> Mapping[str, Path]:
    """Return the YAML file of each task by name, without groups."""
    return _scan().tasks


def not_supported(name: str, kind: str) -> str:
    """Return the error message for a task whose output type is not supported."""
    if kind == _PYTHON:
        return f"task '{name}' is a Python class of lm-evaluation-harness, which is not supported; choose another task"
    return f"task '{name}' has output type {kind}, which is not supported (supported: {', '.join(SUPPORTED)})"


def output_type(path: Path) -> str:
    """Return the output type of the task that a YAML file defines, or ``class`` if it names a Python class."""
    for text in _with_included(_content(path), path, _content):
        if match := _OUTPUT_TYPE.search(text):
            return match[1].decode()
        if _CLASS.search(text):
            return _PYTHON
    return GENERATED


@cache
def group_files() -> Mapping[str, Path]:
    """Return the YAML file of each group by name."""
    return _scan().groups


@cache
def tagged_tasks() -> Mapping[str, list[str]]:
    """Return the tasks that have each tag."""
    return _scan().tags


@cache
def _scan() -> Definitions:
    spec = importlib.util.find_spec("lm_eval")
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError("lm_eval")
    return definitions_in(Path(spec.origin).parent / "tasks")


@dataclass(frozen=True)
class Definitions:
    """The YAML files of a folder.

    Attributes:
        tasks: The file of each task by name.
        groups: The file of each group by name.
        tags: The tasks that have each tag.
    """

    tasks: Mapping[str, Path]
    groups: Mapping[str, Path]
    tags: Mapping[str, list[str]]


def definitions_in(folder: Path) -> Definitions:
    """Return the definitions in the YAML files of a folder."""
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
    return Definitions(tasks, groups, tags)


def _tags_of(text: bytes, path: Path) -> tuple[str, ...]:
    # Thousands of tasks include the same few files.
    found = (match for each in _with_included(text, path, _unchanged_content) if (match := _TAG.search(each)))
    match = next(found, None)
    return tuple(_WORD.findall(match[1].decode(errors="replace").partition("#")[0])) if match else ()


def _with_included(text: bytes, path: Path, read: Callable[[Path], bytes]) -> Iterator[bytes]:
    """Yield the content of a file, of the file that it includes, and so on; a file may include itself."""
    for _ in range(_DEEPEST):
        yield text
        included = _INCLUDE.search(text)
        if included is None:
            return
        path = path.parent / included[1].decode(errors="replace").strip()
        text = read(path)


def _content(path: Path) -> bytes:
    return path.read_bytes() if path.is_file() else b""


_unchanged_content = cache(_content)

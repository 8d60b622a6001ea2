"""Which tasks lm-evaluation-harness has, without its own index, which takes 20 s to build."""

from __future__ import annotations

import importlib.util
import re
from functools import cache
from pathlib import Path

# The top-level keys by which a definition names its task or group.
_TASK = re.compile(rb"^[\"']?task[\"']?:[ \t]*[\"']?([\w.-]+)[\"']?[ \t]*(?:#.*)?\r?$", re.MULTILINE)
_GROUP = re.compile(rb"^[\"']?group[\"']?:[ \t]*[\"']?([\w.-]+)[\"']?[ \t]*(?:#.*)?\r?$", re.MULTILINE)
_TAG = re.compile(rb"^tag:[ \t]*(?:\r?\n)?((?:[ \t]*-[ \t]*[\w.-]+[ \t]*\r?\n)+|[\w.-]+)", re.MULTILINE)
_WORD = re.compile(r"[\w.]+[\w.-]*")


@cache
def task_files() -> dict[str, Path]:
    """Return the YAML file of each single task by the task's name."""
    return _scan()[0]


@cache
def group_names() -> frozenset[str]:
    """Return the names of groups and tags, which stand for several tasks."""
    return frozenset(_scan()[1])


@cache
def _scan() -> tuple[dict[str, Path], set[str]]:
    spec = importlib.util.find_spec("lm_eval")
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError("lm_eval")
    tasks: dict[str, Path] = {}
    groups: set[str] = set()
    for path in sorted((Path(spec.origin).parent / "tasks").rglob("*.yaml")):
        text = path.read_bytes()
        if match := _GROUP.search(text):
            groups.add(match[1].decode())
        elif match := _TASK.search(text):
            tasks.setdefault(match[1].decode(), path)
        for tag in _TAG.findall(text):
            groups.update(_WORD.findall(tag.decode()))
    return tasks, groups - tasks.keys()

"""Names for documents that are published: without the folders of the machine that made them."""

from __future__ import annotations

import re

_FILE = re.compile(r"(\bfile[=:])[^:]*/")
_LOCAL = r"[.~/\\]|[A-Za-z]:[/\\]"
_FOLDERS = re.compile(rf"(^|=)(?={_LOCAL})[^,]*[/\\]")
_IS_PATH = re.compile(rf"{_LOCAL}|\S+$")


def public_task(task: str) -> str:
    """Return a task's name with only the last part of a file's path: ``divergence:file=text.txt``."""
    return _FILE.sub(r"\1", task)


def public_model(model: str) -> str:
    """Return a model's name; for a local path, ``./`` and its last part."""
    return _FOLDERS.sub(r"\1./", model.removeprefix("answers:").rstrip("/\\"))


def short_name(name: str) -> str:
    """Return a name for a title: the last part of a path or of an id with an owner, and no slashes in any other."""
    parts = [part for each in re.split(r"[/\\]", name) if (part := each.strip()).strip(".")]
    return (parts[-1] if _IS_PATH.match(name) else " - ".join(parts)) if parts else "model"

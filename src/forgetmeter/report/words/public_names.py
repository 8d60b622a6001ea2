"""Names for documents that are published: without the folders of the machine that made them."""

from __future__ import annotations

import re

_FILE = re.compile(r"(\bfile[=:])[^:]*/")
_LOCAL = (".", "/", "~")


def public_task(task: str) -> str:
    """Return a task's name with only the last part of a file's path: ``divergence:file=text.txt``."""
    return _FILE.sub(r"\1", task)


def public_model(model: str) -> str:
    """Return a model's name; of a local path, ``./`` and its last part."""
    name = model.removeprefix("answers:")
    return f"./{name.rstrip('/').rpartition('/')[2]}" if name.startswith(_LOCAL) else name

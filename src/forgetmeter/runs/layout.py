"""Paths in a run's folder."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

from forgetmeter.errors import UserError

STUDY = "study.json"
ITEMS = "items"
VARIANTS = "variants"
TEMPORARY = ".tmp-"
"""How the name of a file begins until it is written."""

_PARQUET = ".parquet"
_FAILED = ".failed.json"
_NOISE = ".noise.json"
_VARIANT = "variant.json"
# File systems allow names of 255 bytes, including the suffix.
_LONGEST = 200
_KEPT = 150


def items_path(task: str) -> str:
    """Return the path of a task's items."""
    return f"{ITEMS}/{file_name(task)}{_PARQUET}"


def variant_path(variant_id: str) -> str:
    """Return the path of a variant's record."""
    return f"{VARIANTS}/{variant_id}/{_VARIANT}"


def outcomes_path(variant_id: str, task: str) -> str:
    """Return the path of a cell's outcomes."""
    return f"{VARIANTS}/{variant_id}/{file_name(task)}{_PARQUET}"


def failure_path(variant_id: str, task: str) -> str:
    """Return the path of a cell's error."""
    return f"{VARIANTS}/{variant_id}/{file_name(task)}{_FAILED}"


def noise_path(variant_id: str, task: str) -> str:
    """Return the path of a baseline cell's noise."""
    return f"{VARIANTS}/{variant_id}/{file_name(task)}{_NOISE}"


def is_table(path: str) -> bool:
    """Return whether a file of items or outcomes is at ``path``."""
    return path.endswith(_PARQUET)


def is_noise(path: str) -> bool:
    """Return whether ``path`` is a cell's noise file."""
    return _cell(path, _NOISE) is not None


def items_task(path: str) -> str | None:
    """Return the file name of a task's items at ``path``; ``None`` if it is not an items file.

    It is the task's name unless that is too long for a file name.
    """
    folder, _, name = path.partition("/")
    return name.removesuffix(_PARQUET) if folder == ITEMS and name.endswith(_PARQUET) else None


def outcomes_cell(path: str) -> tuple[str, str] | None:
    """Return the variant's id and the task's file name if ``path`` is an outcomes file, else ``None``."""
    return _cell(path, _PARQUET)


def failed_cell(path: str) -> tuple[str, str] | None:
    """Return the variant's id and the task's file name if ``path`` is a failure file, else ``None``."""
    return _cell(path, _FAILED)


def variant_of(path: str) -> str | None:
    """Return the id of the variant that a file belongs to; ``None`` if it belongs to none."""
    folder, _, rest = path.partition("/")
    return rest.partition("/")[0] if folder == VARIANTS and "/" in rest else None


def is_variant(path: str) -> bool:
    """Return whether ``path`` is a ``variant.json``."""
    parts = path.split("/")
    return len(parts) == 3 and parts[0] == VARIANTS and parts[2] == _VARIANT


def _cell(path: str, suffix: str) -> tuple[str, str] | None:
    folder, _, rest = path.partition("/")
    variant_id, _, name = rest.partition("/")
    return (variant_id, name.removesuffix(suffix)) if folder == VARIANTS and name.endswith(suffix) else None


def file_name(task: str) -> str:
    """Return the task's name as a relative path; a last part that is too long is truncated and ends in a hash.

    Slashes in the task's options are escaped, so that they create no folders, and so is the beginning of a name that
    would be taken for an unfinished file's.
    """
    base, colon, options = task.partition(":")
    parts = _checked(base + colon + options.replace("/", "%2F")).split("/")
    *above, last = (part.replace(".", "%2E", 1) if part.startswith(TEMPORARY) else part for part in parts)
    encoded = last.encode()
    if len(encoded) > _LONGEST:
        kept = encoded[:_KEPT].decode(errors="ignore")
        last = f"{kept}~{hashlib.sha256(encoded).hexdigest()[:16]}"
    return "/".join([*above, last])


def check_names(tasks: Iterable[str]) -> None:
    """Check that no two tasks share a file.

    Raises:
        UserError: A name cannot be stored, or two have the same files.
    """
    seen: dict[str, str] = {}
    for task in tasks:
        first = seen.setdefault(file_name(task), task)
        if first != task:
            raise UserError(f"tasks '{first}' and '{task}' would be stored in the same file; rename one of them")


def _checked(task: str) -> str:
    if any(part in ("", ".", "..") for part in task.split("/")) or "\\" in task or "\0" in task:
        raise UserError(f"task '{task}' cannot be stored: each part of its name between '/' must be a valid file name")
    return task

"""Task names with options, as values and as text."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from forgetmeter.specs.suggestion import unknown

ALL = "all"
_LISTED = re.compile(r"^[A-Za-z0-9_]+$")
_DIGITS = re.compile(r"(\d+)")
_NUMBER = re.compile(r"^[1-9]\d{0,8}$")
_NO_PATH = re.compile(r"[:\x00-\x1f]")


@dataclass(frozen=True)
class TaskOption:
    """An option of a task.

    Attributes:
        default: Value if the task's name does not set it.
        meaning: What it does, in one sentence.
        allowed: Allowed values, for a choice; otherwise empty.
        kind: A value of ``allowed``, names joined by ``+`` or ``all``, a path without ``:``, or a positive integer.
        example: A valid list, for error messages.
        is_unnamed: Whether its value is written without its name, as in ``file:PATH``; at most one option of a task.
        is_required: Whether the task cannot be asked without it.
    """

    default: str
    meaning: str
    allowed: tuple[str, ...] = ()
    kind: Literal["choice", "list", "path", "number"] = "choice"
    example: str = "A+B"
    is_unnamed: bool = False
    is_required: bool = False

    def __post_init__(self) -> None:
        if (self.kind == "choice") != bool(self.allowed):
            raise ValueError(f"options of kind choice, and only those, need allowed values: {self.meaning}")

    def problem(self, value: str) -> str | None:
        """Return why a value is not allowed, or ``None`` if it is."""
        if self.allowed and value not in self.allowed:
            return unknown("value", value, self.allowed)
        if self.kind == "number" and not (_NUMBER.match(value) or value == self.default):
            return f"must be a positive integer, not '{value}'"
        if self.kind == "path" and (not value.strip() or _NO_PATH.search(value)):
            return f"must be a path without colons and control characters, not '{value}'"
        if self.kind == "list" and not all(map(_LISTED.match, value.split("+"))):
            return f"must be a list of names joined by +, such as {self.example}, not '{value}'"
        return None

    def canonical(self, value: str) -> str:
        """Return a value in canonical form: lists sorted without duplicates, paths normalized."""
        if self.kind == "path":
            return posixpath.normpath(value)
        names = set(value.split("+")) if self.kind == "list" else {value}
        return ALL if self.kind == "list" and ALL in names else "+".join(sorted(sorted(names), key=natural_order))


@dataclass(frozen=True)
class TaskName:
    """A task with its options.

    Attributes:
        base: The task's name without options.
        options: Options that differ from their defaults, sorted, with values in canonical form.
        declared: The options that the task declares.
    """

    base: str
    options: tuple[tuple[str, str], ...] = ()
    declared: Mapping[str, TaskOption] = field(default_factory=dict, compare=False, repr=False)

    def __str__(self) -> str:
        bare = [value for key, value in self.options if self._is_bare(key, value)]
        named = [f"{key}={value}" for key, value in self.options if not self._is_bare(key, value)]
        return ":".join((self.base, *bare, *named))

    def _is_bare(self, key: str, value: str) -> bool:
        return key in self.declared and self.declared[key].is_unnamed and "=" not in value

    def value(self, option: str) -> str:
        """Return the value of a declared option, or its default."""
        return dict(self.options).get(option, self.declared[option].default)

    def listed(self, option: str) -> tuple[str, ...] | None:
        """Return the names in a list option; ``None`` for all."""
        value = self.value(option)
        return None if value == ALL else tuple(value.split("+"))


def natural_order(name: str) -> tuple[tuple[str, int], ...]:
    """Return a sort key that puts ``P19`` before ``P103``."""
    texts = _DIGITS.split(name)
    return tuple(zip(texts[::2], [*map(int, texts[1::2]), -1], strict=True))

"""Names of tasks with options, as values and as text."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from forgetmeter.errors import ManyUserError
from forgetmeter.specs.suggestion import did_you_mean, unknown

ALL = "all"
_LISTED = re.compile(r"^[A-Za-z0-9_]+$")
_DIGITS = re.compile(r"(\d+)")
_NUMBER = re.compile(r"^[1-9]\d{0,8}$")
_NO_PATH = re.compile(r"[:\x00-\x1f]")


@dataclass(frozen=True)
class TaskOption:
    """An option of a task.

    Attributes:
        default: Its value where the name has none.
        meaning: What it does, in one sentence.
        allowed: The values it may have; empty where its kind says which.
        kind: Whether it is one of ``allowed``, a list of names joined by ``+`` or ``all``, a path without ``:``, or a
            whole number from 1.
        example: A value to show where one is malformed; for a list.
    """

    default: str
    meaning: str
    allowed: tuple[str, ...] = ()
    kind: Literal["choice", "list", "path", "number"] = "choice"
    example: str = "A+B"

    def __post_init__(self) -> None:
        if (self.kind == "choice") != bool(self.allowed):
            raise ValueError(f"an option of kind choice, and no other, needs its allowed values: {self.meaning}")


@dataclass(frozen=True)
class TaskName:
    """A task with its options.

    Attributes:
        base: The task's plain name.
        options: Those that are not at their default, sorted; lists are sorted too, and name nothing twice.
        declared: The options that the task declares.
    """

    base: str
    options: tuple[tuple[str, str], ...] = ()
    declared: Mapping[str, TaskOption] = field(default_factory=dict, compare=False, repr=False)

    def __str__(self) -> str:
        return ":".join((self.base, *(f"{key}={value}" for key, value in self.options)))

    def value(self, option: str) -> str:
        """Return the value of an option that the task declares, or its default."""
        return dict(self.options).get(option, self.declared[option].default)

    def listed(self, option: str) -> tuple[str, ...] | None:
        """Return the names in an option that is a list; ``None`` for all."""
        value = self.value(option)
        return None if value == ALL else tuple(value.split("+"))


def make_task_name(base: str, options: Mapping[str, str], declared: Mapping[str, TaskOption]) -> TaskName:
    """Build a task's name in its canonical form.

    Args:
        base: The task's plain name.
        options: Values as text.
        declared: The options that the task declares.

    Raises:
        ManyUserError: Options are unknown or have values that are not allowed.
    """
    problems = [problem for key, value in options.items() if (problem := _problem(base, key, value, declared))]
    if problems:
        raise ManyUserError(problems)
    values = {key: _canonical(declared[key], value) for key, value in options.items()}
    changed = {key: value for key, value in values.items() if value != declared[key].default}
    return TaskName(base, tuple(sorted(changed.items())), declared)


def parse_task_name(text: str, base: str, declared: Mapping[str, TaskOption]) -> TaskName:
    """Read a task's name such as ``lama/trex:relations=P19+P36:source=evidence``.

    Args:
        text: The name.
        base: What it begins with: the task's plain name.
        declared: The options that the task declares.

    Raises:
        ManyUserError: The options are malformed, unknown or have values that are not allowed.
    """
    options: dict[str, str] = {}
    problems = []
    for part in text[len(base) + 1 :].split(":") if text != base else ():
        key, equals, value = part.partition("=")
        if not (key and equals and value) or key in options:
            problems.append(f"option '{part}' of task '{text}' is malformed or given twice; write key=value")
        options[key] = value
    if problems:
        raise ManyUserError(problems)
    return make_task_name(base, options, declared)


def natural_order(name: str) -> tuple[tuple[str, int], ...]:
    """Return a sorting key by which ``P19`` comes before ``P103``."""
    texts = _DIGITS.split(name)
    return tuple(zip(texts[::2], [*map(int, texts[1::2]), -1], strict=True))


def _problem(base: str, key: str, value: str, declared: Mapping[str, TaskOption]) -> str | None:
    if key not in declared:
        return f"task '{base}' has no option '{key}'{did_you_mean(key, declared)} (allowed: {', '.join(declared)})"
    option = declared[key]
    about = f"option {key} of task '{base}': "
    if option.allowed and value not in option.allowed:
        return f"{about}{unknown('value', value, option.allowed)}"
    if option.kind == "number" and not (_NUMBER.match(value) or value == option.default):
        return f"{about}'{value}' is no whole number from 1"
    if option.kind == "path" and (not value.strip() or _NO_PATH.search(value)):
        return f"{about}'{value}' cannot be named here: a path without colons, please"
    if option.kind == "list" and not all(map(_LISTED.match, value.split("+"))):
        return f"{about}'{value}' is no list of names joined by +, such as {option.example}"
    return None


def _canonical(option: TaskOption, value: str) -> str:
    if option.kind == "path":
        return posixpath.normpath(value)
    return _canonical_list(value) if option.kind == "list" else value


def _canonical_list(value: str) -> str:
    names = set(value.split("+"))
    return ALL if ALL in names else "+".join(sorted(sorted(names), key=natural_order))

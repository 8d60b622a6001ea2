"""Names of tasks with options, as values and as text."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from forgetmeter.errors import ManyUserError
from forgetmeter.specs.suggestion import did_you_mean, unknown

ALL = "all"
BEAR_TASK = "bear"
FACTS_TASK = "facts"
PERPLEXITY_TASK = "perplexity"
MODELS_WINDOW = "model"
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
    """

    default: str
    meaning: str
    allowed: tuple[str, ...] = ()
    kind: Literal["choice", "list", "path", "number"] = "choice"


_SOURCE = TaskOption(
    "template", "Ask by the relation's template, or by the sentences of its evidence.", ("template", "evidence")
)
_MULTI_TOKEN = TaskOption(
    "false",
    "Rank the relation's objects as whole statements, so that answers may have several tokens.",
    ("false", "true"),
)
_RELATIONS = TaskOption(ALL, "Only these relations, joined by +.", kind="list")
_TEMPLATES = TaskOption(ALL, "Only these templates of each relation, by number from 0, joined by +.", kind="list")
_FILE = TaskOption("", "The text: paragraphs, or of .jsonl each line's 'text'.", kind="path")
_WINDOW = TaskOption(MODELS_WINDOW, "The most tokens to read at a time; as many as the model can.", kind="number")

PROBE_OPTIONS: Mapping[str, Mapping[str, TaskOption]] = {
    "lama/squad": {"multi_token": _MULTI_TOKEN},
    "lama/google_re": {"source": _SOURCE, "multi_token": _MULTI_TOKEN, "relations": _RELATIONS},
    "lama/trex": {"source": _SOURCE, "multi_token": _MULTI_TOKEN, "relations": _RELATIONS},
    "lama/conceptnet": {"multi_token": _MULTI_TOKEN},
    BEAR_TASK: {"relations": _RELATIONS, "templates": _TEMPLATES},
    FACTS_TASK: {"relations": _RELATIONS, "templates": _TEMPLATES},
    PERPLEXITY_TASK: {"file": _FILE, "window": _WINDOW},
}
"""The options of each built-in probe. No other task takes any."""


@dataclass(frozen=True)
class TaskName:
    """A task with its options.

    Attributes:
        base: The task's plain name.
        options: Those that are not at their default, sorted; lists are sorted too, and name nothing twice.
    """

    base: str
    options: tuple[tuple[str, str], ...] = ()

    def __str__(self) -> str:
        return ":".join((self.base, *(f"{key}={value}" for key, value in self.options)))

    def value(self, option: str) -> str:
        """Return the value of an option that the task declares, or its default."""
        return dict(self.options).get(option, PROBE_OPTIONS[self.base][option].default)

    def listed(self, option: str) -> tuple[str, ...] | None:
        """Return the names in an option that is a list; ``None`` for all."""
        value = self.value(option)
        return None if value == ALL else tuple(value.split("+"))


def make_task_name(base: str, options: Mapping[str, str]) -> TaskName:
    """Build a probe's name in its canonical form.

    Args:
        base: One of ``PROBE_OPTIONS``.
        options: Values as text.

    Raises:
        ManyUserError: Options are unknown or have values that are not allowed.
    """
    declared = PROBE_OPTIONS[base]
    problems = [problem for key, value in options.items() if (problem := _problem(base, key, value))]
    if problems:
        raise ManyUserError(problems)
    values = {key: _canonical(declared[key], value) for key, value in options.items()}
    return TaskName(
        base, tuple(sorted((key, value) for key, value in values.items() if value != declared[key].default))
    )


def parse_task_name(text: str) -> TaskName:
    """Read a task's name such as ``lama/trex:relations=P19+P36:source=evidence``.

    Only names of built-in probes are taken apart; any other is taken as it is.

    Raises:
        ManyUserError: The options are malformed, unknown or have values that are not allowed.
    """
    base, *fields = text.split(":")
    if base not in PROBE_OPTIONS:
        return TaskName(text)
    options: dict[str, str] = {}
    problems = []
    for field in fields:
        key, equals, value = field.partition("=")
        if not (key and equals and value) or key in options:
            problems.append(f"option '{field}' of task '{text}' is malformed or given twice; write key=value")
        options[key] = value
    if problems:
        raise ManyUserError(problems)
    return make_task_name(base, options)


def natural_order(name: str) -> tuple[tuple[str, int], ...]:
    """Return a sorting key by which ``P19`` comes before ``P103``."""
    texts = _DIGITS.split(name)
    return tuple(zip(texts[::2], [*map(int, texts[1::2]), -1], strict=True))


def _problem(base: str, key: str, value: str) -> str | None:
    declared = PROBE_OPTIONS[base]
    if key not in declared:
        return f"task '{base}' has no option '{key}'{did_you_mean(key, declared)} (allowed: {', '.join(declared)})"
    allowed = declared[key].allowed
    if allowed and value not in allowed:
        return f"option {key} of task '{base}': {unknown('value', value, allowed)}"
    if declared[key].kind == "number" and not (_NUMBER.match(value) or value == declared[key].default):
        return f"option {key} of task '{base}': '{value}' is no whole number from 1"
    if declared[key].kind == "path" and (not value.strip() or _NO_PATH.search(value)):
        return f"option {key} of task '{base}': '{value}' cannot be named here: a path without colons, please"
    if declared[key].kind == "list" and not all(map(_LISTED.match, value.split("+"))):
        return f"option {key} of task '{base}': '{value}' is no list of names joined by +, such as {_EXAMPLES[key]}"
    return None


_EXAMPLES = {"relations": "P19+P36", "templates": "0+1"}


def _canonical(option: TaskOption, value: str) -> str:
    if option.kind == "path":
        return posixpath.normpath(value)
    return _canonical_list(value) if option.kind == "list" else value


def _canonical_list(value: str) -> str:
    names = set(value.split("+"))
    return ALL if ALL in names else "+".join(sorted(sorted(names), key=natural_order))

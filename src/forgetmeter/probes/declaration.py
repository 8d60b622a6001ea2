"""What a task says of itself: all that any other part of the package needs to know about it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from forgetmeter.errors import UserError, refuse
from forgetmeter.probes.data.archive import ProbeArchive
from forgetmeter.records.item import Task
from forgetmeter.specs.suggestion import did_you_mean
from forgetmeter.specs.task_name import TaskName, TaskOption


def _nothing_to_check(_name: TaskName) -> None:
    pass


@dataclass(frozen=True, kw_only=True)
class TaskDeclaration:
    """A task, before any of its items is read.

    Attributes:
        name: As in a study, without options.
        load: Makes the task from its name with options and ``limit``, the number of items to take of each group
            (``None`` for all). A task with ``data`` is also given ``data``, the data folder where one was named.
        check: Raises a ``UserError`` for what ``load`` would refuse, without reading items; takes the same, without
            ``limit``.
        options: The options it takes, by name.
        thing: What sentences call an item: a fact that the model knows, or an item that it gets right.
        phrasings: The option that chooses the phrasings by which each fact is asked. Where there are several, sentences
            call the items questions. Empty where each fact is asked once.
        groups: Of what a limit takes the first items. A task with relations says what was read of each
            (``CountsRelations``).
        is_measured: Whether nothing is right or wrong, so that there is nothing to retain.
        data: The published data it needs; ``forgetmeter data fetch`` brings it.
    """

    name: str
    load: Callable[..., Task]
    check: Callable[..., object] = _nothing_to_check
    options: Mapping[str, TaskOption] = field(default_factory=dict)
    thing: Literal["fact", "item"] = "item"
    phrasings: str = ""
    groups: tuple[Literal["relation", "phrasing"], ...] = ()
    is_measured: bool = False
    data: ProbeArchive | None = None

    def parse(self, text: str) -> TaskName:
        """Read the task's name with its options.

        Raises:
            UserError: Options are malformed, unknown or have values that are not allowed.
        """
        if text != self.name and not self.options:
            raise UserError(f"task '{self.name}' takes no options, so '{text}' is unknown; write {self.name}")
        options: dict[str, str] = {}
        problems = []
        for part in text[len(self.name) + 1 :].split(":") if text != self.name else ():
            key, equals, value = part.partition("=")
            if not (key and equals and value) or key in options:
                problems.append(f"option '{part}' of task '{text}' is malformed or given twice; write key=value")
            options[key] = value
        refuse(problems)
        return self.named(options)

    def named(self, options: Mapping[str, str]) -> TaskName:
        """Return the task's name with these options, given as text, in its canonical form.

        Raises:
            UserError: Options are unknown or have values that are not allowed.
        """
        refuse(problem for key, value in options.items() if (problem := self._problem(key, value)))
        values = {key: self.options[key].canonical(value) for key, value in options.items()}
        changed = {key: value for key, value in values.items() if value != self.options[key].default}
        return TaskName(self.name, tuple(sorted(changed.items())), self.options)

    def folder(self, data: Path | None) -> dict[str, Any]:
        """Return what ``load`` and ``check`` are given of the data folder."""
        return {"data": data} if self.data is not None else {}

    def things(self, name: TaskName, number: int) -> str:
        """Return what sentences call a number of items."""
        phrasings = name.listed(self.phrasings) if self.phrasings else ("",)
        thing = self.thing if phrasings is not None and len(phrasings) == 1 else "question"
        return thing if number == 1 else f"{thing}s"

    def _problem(self, key: str, value: str) -> str | None:
        if key not in self.options:
            allowed = f"{did_you_mean(key, self.options)} (allowed: {', '.join(self.options)})"
            return f"task '{self.name}' has no option '{key}'{allowed}"
        problem = self.options[key].problem(value)
        return problem and f"option {key} of task '{self.name}': {problem}"

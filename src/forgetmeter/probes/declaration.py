"""Declarations of tasks: everything that the rest of the package needs from them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from forgetmeter.errors import UserError, refuse
from forgetmeter.probes.data.archive import ProbeArchive
from forgetmeter.records.item import Item, Task
from forgetmeter.specs.suggestion import did_you_mean
from forgetmeter.specs.task_name import TaskName, TaskOption

Grouping = Literal["relation", "phrasing"]

_GROUPED_BY: Mapping[Grouping, str] = {"relation": "relation", "phrasing": "template"}
"""The field of an item that names its group."""


def _nothing_to_check(_name: TaskName) -> None:
    pass


@dataclass(frozen=True)
class Metric:
    """A metric over all items of a task.

    Attributes:
        name: Its key in ``Judgement.metrics``.
        heading: Heading of its column in tables; its name if empty.
        meaning: Explanation of the heading, for the legend; may be empty.
        ratio: Explanation of its ratio to the baseline's value, which tables show if there is one.
        is_perplexity: Whether charts and findings use it as a model's perplexity; of several, they use the first.
        weight: Name of a per-item metric by which this one is weighted: it is the weighted mean of the per-item metric
            of its own name, and has an interval over items. Empty if it is not such a mean.
        quantile: Which quantile of all items' token values this metric is, such as 0.99; it then has an interval over
            items, too. ``None`` if it is not a quantile.
        is_signed: Whether values of single items may be negative.
        is_share: Whether it is a share from 0 to 1, to be shown as a percentage.
    """

    name: str
    heading: str = ""
    meaning: str = ""
    ratio: str = ""
    is_perplexity: bool = False
    weight: str = ""
    quantile: float | None = None
    is_share: bool = False
    is_signed: bool = False


@dataclass(frozen=True, kw_only=True)
class TaskDeclaration:
    """A task, before any of its items is read.

    Attributes:
        name: Name in a study, without options.
        load: Returns the task for its name with options and ``limit``, the number of items per group (``None`` for
            all). A task with ``data`` also gets ``data``, the data folder or ``None``.
        check: Raises a ``UserError`` for requests ``load`` would refuse, without reading items; same arguments except
            ``limit``.
        options: Its options by name.
        thing: Singular noun for an item in sentences and tables, with a plural in *s*: a ``fact`` that the model knows,
            or an ``item`` (or any other noun) that it gets right.
        phrasings: The option that selects the phrasings of each fact; empty if each fact is asked once. With several
            phrasings, sentences call the items questions.
        groups: Groups to which a limit applies, by the items' field ``relation`` or, for a phrasing, ``template``;
            empty if it applies to all items together. A task with relations must implement ``CountsRelations``.
        is_measured: Whether answers are measured rather than right or wrong, so that nothing can be retained.
        metrics: The metrics of a measured task, in the order of the table's columns; others are shown after these, by
            their names. Of a judged task, only perplexities need to be declared.
        data: The published data it needs; ``forgetmeter data fetch`` downloads it.
    """

    name: str
    load: Callable[..., Task]
    check: Callable[..., object] = _nothing_to_check
    options: Mapping[str, TaskOption] = field(default_factory=dict)
    thing: str = "item"
    phrasings: str = ""
    groups: tuple[Grouping, ...] = ()
    is_measured: bool = False
    metrics: tuple[Metric, ...] = ()
    data: ProbeArchive | None = None

    def parse(self, text: str) -> TaskName:
        """Parse the task's name with options.

        Raises:
            UserError: Options are malformed or unknown, or have invalid values.
        """
        if text != self.name and not self.options:
            raise UserError(f"task '{self.name}' takes no options, so '{text}' is unknown; write {self.name}")
        unnamed = next((key for key, option in self.options.items() if option.is_unnamed), "")
        options: dict[str, str] = {}
        problems = []
        for part in text[len(self.name) + 1 :].split(":") if text != self.name else ():
            key, equals, value = part.partition("=")
            if not equals and unnamed:
                key, equals, value = unnamed, "=", part
            if not (key and equals and value) or key in options:
                problems.append(f"option '{part}' of task '{text}' is malformed or given twice; write key=value")
            options[key] = value
        refuse(problems)
        return self.named(options)

    def named(self, options: Mapping[str, str]) -> TaskName:
        """Return the task's canonical name with these options, given as text.

        Raises:
            UserError: Options are unknown or have invalid values.
        """
        refuse(problem for key, value in options.items() if (problem := self._problem(key, value)))
        values = {key: self.options[key].canonical(value) for key, value in options.items()}
        changed = {key: value for key, value in values.items() if value != self.options[key].default}
        return TaskName(self.name, tuple(sorted(changed.items())), self.options)

    def folder(self, data: Path | None) -> dict[str, Any]:
        """Return the ``data`` argument of ``load`` and ``check``, if they take one."""
        return {"data": data} if self.data is not None else {}

    def things(self, name: TaskName, number: int) -> str:
        """Return the word for ``number`` items in sentences."""
        phrasings = name.listed(self.phrasings) if self.phrasings else ("",)
        thing = self.thing if phrasings is not None and len(phrasings) == 1 else "question"
        return thing if number == 1 else f"{thing}s"

    def group_of(self, item: Item) -> tuple[str | None, ...]:
        """Return the group of an item that a limit applies to."""
        return tuple(item.fields.get(_GROUPED_BY[each]) for each in self.groups)

    def _problem(self, key: str, value: str) -> str | None:
        if key not in self.options:
            allowed = f"{did_you_mean(key, self.options)} (allowed: {', '.join(self.options) or 'none'})"
            return f"task '{self.name}' has no option '{key}'{allowed}"
        problem = self.options[key].problem(value)
        return problem and f"option {key} of task '{self.name}': {problem}"

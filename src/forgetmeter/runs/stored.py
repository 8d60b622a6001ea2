"""What is stored of a run's parts, as read back: variants, cells, failures, tasks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any

from forgetmeter.records.variant import Reached, RoleCount


@dataclass(frozen=True)
class StoredVariant:
    """A variant of the study; without a record where it has not been made yet.

    Attributes:
        id: The variant's id.
        model: Its model, as text.
        recipe: Its recipe, as text.
        reached: What the recipe did; ``None`` where that is not known.
        facts: What the run noted when making it, such as ``compress_seconds``.
    """

    id: str
    model: str
    recipe: str
    reached: Reached | None = None
    facts: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class StoredItems:
    """A task's items.

    Attributes:
        task: The task.
        path: The file of the items, relative to the run.
        facts: The task's description, ``items_hash`` and ``rows``, the number of items.
    """

    task: str
    path: str
    facts: Mapping[str, Any]

    @property
    def filters(self) -> Mapping[str, int]:
        """How many items the task itself left out, by reason."""
        return _counts(self.facts.get("filters"))


@dataclass(frozen=True)
class StoredCell:
    """A cell that is done.

    Attributes:
        variant: The variant's id.
        model: Its model, as text.
        recipe: Its recipe, as text.
        task: The task.
        path: The file of the outcomes, relative to the run.
        facts: What the run noted; the properties below are what this version knows of it.
    """

    variant: str
    model: str
    recipe: str
    task: str
    path: str
    facts: Mapping[str, Any]

    @property
    def key(self) -> tuple[str, str, str]:
        """Model, recipe and task."""
        return self.model, self.recipe, self.task

    @property
    def rows(self) -> int:
        """Number of outcomes."""
        return int(self.facts["rows"])

    @property
    def is_judged(self) -> bool:
        """Whether the task has right answers; cells of such tasks need not say so."""
        return self.facts.get(JUDGED) is not False

    @property
    def seconds(self) -> float | None:
        """How long scoring took."""
        seconds = self.facts.get("seconds")
        return None if seconds is None else float(seconds)

    @property
    def tokens(self) -> int | None:
        """How many tokens the model read."""
        tokens = self.facts.get("tokens")
        return None if tokens is None else int(tokens)

    @property
    def metrics(self) -> dict[str, float]:
        """The task's aggregated metrics that are numbers, by name."""
        stored: Mapping[str, float | None] = self.facts.get("metrics") or {}
        return {name: float(value) for name, value in stored.items() if value is not None}

    @property
    def dropped(self) -> Mapping[str, int]:
        """How many items the model could not be asked, by reason."""
        return _counts(self.facts.get("dropped"))

    @property
    def named(self) -> Mapping[str, str]:
        """The first of these items by their ids, as text, by reason."""
        return dict(self.facts.get("left_out") or {})

    @property
    def cut(self) -> int:
        """How many items have a context that lost its beginning."""
        return int(self.facts.get("cut") or 0)

    @property
    def not_numbers(self) -> int:
        """How many items were answered by something other than numbers."""
        return int(self.facts.get("not_numbers") or 0)


JUDGED = "judged"
"""The fact that is false where a cell's outcomes are neither right nor wrong; elsewhere there is none."""


@dataclass(frozen=True)
class Failure:
    """A cell that failed; the next run tries it again.

    Attributes:
        variant: The variant's id.
        model: Its model, as text.
        recipe: Its recipe, as text.
        task: The task.
        error: What went wrong, in one line.
    """

    variant: str
    model: str
    recipe: str
    task: str
    error: str


def reached_document(reached: Reached) -> dict[str, Any]:
    """Return what a recipe did as a variant's record has it; the inverse of ``read_reached``."""
    return {**asdict(replace(reached, roles=dict(reached.roles))), "sparsity": reached.sparsity}


def read_reached(stored: object) -> Reached | None:
    """Return what a variant's record says its recipe did; ``None`` where it does not say, or is damaged."""
    if not isinstance(stored, Mapping) or not isinstance(stored.get("roles"), Mapping):
        return None
    numbers = {field.name: stored.get(field.name) for field in fields(Reached) if field.name != "roles"}
    # Records from before it was counted have none.
    required = [value for name, value in numbers.items() if name != "smallest_bytes" or value is not None]
    try:
        roles = {str(name): RoleCount(role["weights"], role["zeros"]) for name, role in stored["roles"].items()}
    except (KeyError, TypeError):
        return None
    counts = [*required, *(number for role in roles.values() for number in (role.weights, role.zeros))]
    return Reached(roles, **numbers) if all(isinstance(count, int) for count in counts) else None  # type: ignore[arg-type]


def _counts(stored: Mapping[str, Any] | None) -> dict[str, int]:
    return {str(name): int(number) for name, number in (stored or {}).items() if number}

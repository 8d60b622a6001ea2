"""What was read of a relation, and what became of it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable


@dataclass(frozen=True)
class RelationCounts:
    """What was read of a relation.

    Attributes:
        relation: Its name.
        label: What it means, in words; empty where the data does not say.
        prompt: How it is asked: its templates, or where its sentences come from.
        read: Questions in its file, before any filter and limit.
        dropped: How many of them each filter dropped, by what it looks for; every filter that there is.
    """

    relation: str
    label: str
    prompt: str
    read: int
    dropped: Mapping[str, int]

    @property
    def items(self) -> int:
        """Questions that are left, before any limit."""
        return self.read - sum(self.dropped.values())


@runtime_checkable
class CountsRelations(Protocol):
    """A task that knows its relations."""

    @property
    def relations(self) -> Sequence[RelationCounts]:
        """What was read of each relation, in the task's order."""
        ...


def dropped_in_all(relations: Iterable[RelationCounts]) -> dict[str, int]:
    """Return how many questions each filter dropped from all relations together."""
    totals: dict[str, int] = {}
    for each in relations:
        for reason, number in each.dropped.items():
            totals[reason] = totals.get(reason, 0) + number
    return totals

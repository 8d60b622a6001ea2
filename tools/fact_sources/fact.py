"""A relation with its facts, as it goes into the facts file."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class Fact:
    """A fact.

    Attributes:
        subject: As it stands inside a sentence, with its article where it has one.
        object: The one right answer, a single word.
        popularity: How well known the subject may be taken to be; ``None`` where that cannot be had.
    """

    subject: str
    object: str
    popularity: int | None


@dataclass(frozen=True)
class Relation:
    """A relation before any rule is applied.

    Attributes:
        id: Its name.
        label: What it means, in words.
        source: The packages that its facts are taken from.
        popularity: What the number of its facts counts.
        candidates: Makes the facts, before any rule is applied.
        is_code: Whether the answers are codes rather than names, which may well repeat letters of the subject.
    """

    id: str
    label: str
    source: str
    popularity: str
    candidates: Callable[[], Iterable[Fact]]
    is_code: bool = False

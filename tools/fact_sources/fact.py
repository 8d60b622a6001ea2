"""Relations and facts, as in the facts file."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class Fact:
    """A fact.

    Attributes:
        subject: As written inside a sentence, with its article if it has one.
        object: The one right answer, a single word.
        popularity: A measure of how well known the subject is; ``None`` if unknown.
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
        source: The packages its facts are from.
        popularity: What the popularity of its facts counts.
        candidates: Yields the facts, before any rule is applied.
        is_code: Whether the answers are codes, which may repeat letters of the subject, rather than names.
    """

    id: str
    label: str
    source: str
    popularity: str
    candidates: Callable[[], Iterable[Fact]]
    is_code: bool = False

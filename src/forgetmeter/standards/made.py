"""What is known of a standard that was made."""

from __future__ import annotations

from dataclasses import dataclass

from forgetmeter.models.family import Family


@dataclass(frozen=True)
class Made:
    """A standard that was made.

    Attributes:
        family: Its family.
        facts: How many facts it was taught.
        known: Share of them that it knows, over the phrasings that it was taught.
        held_out: Share of them that it knows in the phrasings that it never saw.
        parameters: How many it has, and of these,
        embedded: how many are the random token embeddings.
        bytes: Size of its weights' file.
        seconds: How long it took.
        seed: By which it was made.
    """

    family: Family
    facts: int
    known: float
    held_out: float
    parameters: int
    embedded: int
    bytes: int
    seconds: float
    seed: int

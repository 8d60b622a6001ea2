"""A cell that could not be done, as it is stored."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Failure:
    """A cell that could not be done; the next run tries it again.

    Attributes:
        variant: The variant's id.
        model: Its model, as text.
        recipe: Its recipe, as text.
        task: The task.
        error: What went wrong, in a line.
    """

    variant: str
    model: str
    recipe: str
    task: str
    error: str

"""Groups of tasks that have an average of their own, such as ``mmlu``."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class TaskGroup:
    """A group of tasks of lm-evaluation-harness, or of the user's own.

    Attributes:
        name: Its name.
        tasks: Its single tasks, including those of its groups.
        is_by_size: Whether its average weights each task by its number of items, instead of all equally.
    """

    name: str
    tasks: tuple[str, ...]
    is_by_size: bool

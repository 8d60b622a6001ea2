"""Groups of tasks that have an average of their own, such as ``mmlu``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class GroupMetric:
    """A metric whose average a group defines.

    Attributes:
        name: Its name, such as ``acc``.
        filters: Names of the filters of written answers that the average is defined for; empty for all.
        is_by_size: Whether the average weights each task by its number of items, instead of all equally.
    """

    name: str
    filters: tuple[str, ...]
    is_by_size: bool


@dataclass(frozen=True)
class TaskGroup:
    """A group of tasks of lm-evaluation-harness, or of the user's own.

    Attributes:
        name: Its name.
        tasks: Its single tasks, including those of its groups.
        metrics: The metrics whose averages it defines.
    """

    name: str
    tasks: tuple[str, ...]
    metrics: tuple[GroupMetric, ...]

    def metric_of(self, judged: Sequence[tuple[str, str]]) -> GroupMetric | None:
        """Return the metric by which all tasks are judged, if the group defines its average.

        Args:
            judged: The main metric of each task and the filter of its written answers, if it has one.
        """
        found = [
            metric
            for metric in self.metrics
            if all(metric.name == name and filter in (metric.filters or (filter,)) for name, filter in judged)
        ]
        return found[-1] if found else None

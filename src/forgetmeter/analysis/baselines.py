"""What a task yields to somebody who knows nothing."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import pandas as pd


@dataclass(frozen=True)
class TaskBaselines:
    """What can be reached on a task without knowledge.

    Attributes:
        items: Number of items.
        chance: Expected accuracy of choosing at random; ``None`` where an item has no choices, or is a cloze that
            any word could fill.
        majority: Accuracy of always choosing the place that is most often right; ``None`` likewise.
    """

    items: int
    chance: float | None
    majority: float | None


def task_baselines(items: pd.DataFrame) -> dict[str, TaskBaselines]:
    """Return the baselines of each task.

    Args:
        items: Columns ``task``, ``gold`` (indices of the right choices), ``choices`` (how many there are) and
            ``among``, as in ``Run.item_shapes``.
    """
    return {str(task): _baselines(group) for task, group in items.groupby("task", sort=False)}


def _baselines(items: pd.DataFrame) -> TaskBaselines:
    right = [len(gold) for gold in items["gold"]]
    choices = [int(number) for number in items["choices"]]
    if not all(choices) or (items["among"] == "vocabulary").any():
        return TaskBaselines(len(items), None, None)
    chance = sum(gold / number for gold, number in zip(right, choices, strict=True)) / len(items)
    places = Counter(int(place) for gold in items["gold"] for place in set(gold))
    return TaskBaselines(len(items), chance, max(places.values(), default=0) / len(items))

"""What a task yields to somebody who knows nothing."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

_EVERYWHERE = ""


@dataclass(frozen=True)
class TaskBaselines:
    """What can be reached on a task without knowledge.

    Attributes:
        items: Number of items.
        chance: Expected accuracy of choosing at random; ``None`` where an item has no choices, or is a cloze that
            any word could fill.
        majority: Accuracy of always giving the answer that is most often right in an item's relation, or, where items
            have no relation, the place in the list that is; ``None`` where an item has no choices, or is a cloze that
            any word could fill and has no relation.
    """

    items: int
    chance: float | None
    majority: float | None


@dataclass(frozen=True, eq=False)
class ItemBaselines:
    """What can be reached on each item without knowledge; NaN where it cannot be said.

    Attributes:
        chance: Probability that an answer at random is right, of shape ``(items,)``.
        majority: 1 where the majority answer is right, else 0, of the same shape.
    """

    chance: NDArray[np.float64]
    majority: NDArray[np.float64]


def task_baselines(items: pd.DataFrame) -> dict[str, TaskBaselines]:
    """Return the baselines of each task.

    Args:
        items: Columns ``task``, ``gold`` (indices of the right choices), ``choices`` (how many there are), ``among``
            and ``relation``, as in ``Run.item_shapes``.
    """
    return {task: task_baseline(found) for task, found in baselines_by_task(items).items()}


def baselines_by_task(items: pd.DataFrame) -> dict[str, ItemBaselines]:
    """Return the baselines of each item, by task.

    Args:
        items: As for ``task_baselines``.
    """
    return {str(task): item_baselines(group) for task, group in items.groupby("task", sort=False)}


def item_baselines(items: pd.DataFrame) -> ItemBaselines:
    """Return the baselines of each item of one task.

    Items of a relation share their list of answers, so that a place in it is an answer; lists of different relations
    have nothing to do with each other.

    Args:
        items: Rows of one task, as for ``task_baselines``.
    """
    right = [{int(place) for place in gold} for gold in items["gold"]]
    choices = items["choices"].to_numpy(dtype=np.float64)
    any_word = (items["among"] == "vocabulary").to_numpy(dtype=np.bool_)
    relation = items["relation"].astype(object) if "relation" in items else pd.Series([None] * len(items), dtype=object)
    groups = [_EVERYWHERE if pd.isna(name) else str(name) for name in relation]
    counts: dict[str, Counter[int]] = {}
    for group, gold in zip(groups, right, strict=True):
        counts.setdefault(group, Counter()).update(gold)
    # Where several places are right equally often, the first one seen is as good as any.
    best = {group: places.most_common(1)[0][0] if places else -1 for group, places in counts.items()}
    named = np.asarray([float(best[group] in gold) for group, gold in zip(groups, right, strict=True)])
    has_answers = (choices > 0) & ~(any_word & (np.asarray(groups, dtype=object) == _EVERYWHERE))
    with np.errstate(divide="ignore", invalid="ignore"):
        chance = np.asarray([len(gold) for gold in right]) / choices
    return ItemBaselines(
        chance=np.where((choices > 0) & ~any_word, chance, np.nan),
        majority=np.where(has_answers, named, np.nan),
    )


def task_baseline(found: ItemBaselines) -> TaskBaselines:
    """Return the baselines of a task, given those of its items."""
    return TaskBaselines(len(found.chance), _mean(found.chance), _mean(found.majority))


def _mean(values: NDArray[np.float64]) -> float | None:
    return None if np.isnan(values).any() else float(values.mean())

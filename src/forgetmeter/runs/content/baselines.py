"""Accuracy on a task without knowledge: by chance, and by always giving the majority answer."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

_EVERYWHERE = ""


@dataclass(frozen=True)
class TaskBaselines:
    """Accuracy on a task without knowledge.

    Attributes:
        items: Number of items.
        chance: Expected accuracy of random choice; ``None`` if an item has nothing to choose from, as a single
            continuation that is right if it is the likeliest of all, or is a cloze over the whole vocabulary.
        majority: Accuracy of always giving the answer that is most often right in an item's relation, or, without
            relations, at the position that is most often right; ``None`` if an item has nothing to choose from, or is a
            cloze over the whole vocabulary without a relation.
    """

    items: int
    chance: float | None
    majority: float | None


@dataclass(frozen=True, eq=False)
class ItemBaselines:
    """Accuracy on each item without knowledge; NaN if undefined.

    Attributes:
        chance: Probability that a random answer is right, shape ``(items,)``.
        majority: 1 if the majority answer is right, else 0, same shape.
    """

    chance: NDArray[np.float64]
    majority: NDArray[np.float64]


def task_baselines(items: pd.DataFrame) -> dict[str, TaskBaselines]:
    """Return the baselines of each task.

    Args:
        items: Columns ``task``, ``gold`` (indices of the right choices), ``choices`` (number of choices), ``among`` and
            ``relation``, as in ``Run.item_shapes``.
    """
    return {task: task_baseline(found) for task, found in baselines_by_task(items).items()}


def baselines_by_task(items: pd.DataFrame) -> dict[str, ItemBaselines]:
    """Return the baselines of each item, by task; ``items`` is as for ``task_baselines``."""
    return {str(task): item_baselines(group) for task, group in items.groupby("task", sort=False)}


def item_baselines(items: pd.DataFrame) -> ItemBaselines:
    """Return the baselines of each item of one task.

    Items of a relation share their list of choices, so an index in it identifies an answer; lists of different
    relations are unrelated.

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
    # Ties go to the first index seen.
    best = {group: places.most_common(1)[0][0] if places else -1 for group, places in counts.items()}
    named = np.asarray([float(best[group] in gold) for group, gold in zip(groups, right, strict=True)])
    # A single continuation, unlike a relation with one object, competes with all others.
    has_choices = (choices > 1) | ((choices == 1) & items["among"].notna().to_numpy(dtype=np.bool_))
    has_answers = has_choices & ~(any_word & (np.asarray(groups, dtype=object) == _EVERYWHERE))
    with np.errstate(divide="ignore", invalid="ignore"):
        chance = np.asarray([len(gold) for gold in right]) / choices
    return ItemBaselines(
        chance=np.where(has_choices & ~any_word, chance, np.nan),
        majority=np.where(has_answers, named, np.nan),
    )


def task_baseline(found: ItemBaselines) -> TaskBaselines:
    """Aggregate the baselines of a task's items."""
    return TaskBaselines(len(found.chance), _mean(found.chance), _mean(found.majority))


def _mean(values: NDArray[np.float64]) -> float | None:
    return None if np.isnan(values).any() else float(values.mean())

"""Accuracy on items without knowledge: by chance, and by always giving the majority answer."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

_EVERYWHERE = ""
_FEW = 20


@dataclass(frozen=True, eq=False)
class ItemBaselines:
    """Accuracy on the items of one task without knowledge.

    Attributes:
        chance: Probability that a random answer is right, shape ``(items,)``; NaN if an item has nothing to choose
            from, as a single continuation that is right if it is the likeliest of all, or is a cloze over the whole
            vocabulary.
        right: Per item, its list of choices (one per relation) and the indices of the right ones; ``None`` if it has
            nothing to choose from, or is a cloze over the whole vocabulary without a relation.
    """

    chance: NDArray[np.float64]
    right: tuple[tuple[str, frozenset[int]] | None, ...]

    def majority(self, among: NDArray[np.bool_]) -> NDArray[np.float64]:
        """Return 1 for each item whose right answer is the majority answer, else 0, shape ``(items,)``.

        The majority answer is the one that is most often right in the relation or, without relations, the position that
        is most often right. Without relations, there is none if the same position is right in all of at least 20 items,
        as in SciQ and TruthfulQA: the right answer was always written there, and prompts do not show it.

        Args:
            among: The items that count, shape ``(items,)``; others are NaN, and so are items without such an answer.
        """
        asked = [(place, *right) for place, right in enumerate(self.right) if right is not None and among[place]]
        counts: dict[str, Counter[int]] = {}
        for _, group, gold in asked:
            counts.setdefault(group, Counter()).update(sorted(gold))
        # Ties go to the first index seen.
        best = {group: places.most_common(1)[0][0] if places else -1 for group, places in counts.items()}
        found = np.full(len(self.right), np.nan)
        for place, group, gold in asked:
            found[place] = best[group] in gold
        everywhere = [place for place, group, _ in asked if group == _EVERYWHERE]
        if len(everywhere) >= _FEW and found[everywhere].all():
            found[everywhere] = np.nan
        return found


def item_baselines(items: pd.DataFrame) -> ItemBaselines:
    """Return the baselines of each item of one task.

    Items of a relation share their list of choices, so an index in it identifies an answer; lists of different
    relations are unrelated.

    Args:
        items: Columns ``gold`` (indices of the right choices), ``choices`` (number of choices), ``among`` and
            ``relation``, as in ``Run.item_shapes``; all missing for an unknown item.
    """
    right = [frozenset[int]() if isinstance(gold, float) else frozenset(map(int, gold)) for gold in items["gold"]]
    choices = items["choices"].to_numpy(dtype=np.float64)
    any_word = (items["among"] == "vocabulary").to_numpy(dtype=np.bool_)
    has_relation = items["relation"].notna().to_numpy(dtype=np.bool_)
    # A single continuation, unlike a relation with one object, competes with all others.
    has_choices = (choices > 1) | ((choices == 1) & items["among"].notna().to_numpy(dtype=np.bool_))
    has_answers = has_choices & ~(any_word & ~has_relation)
    groups = items["relation"].astype(object).where(has_relation, _EVERYWHERE)
    with np.errstate(divide="ignore", invalid="ignore"):
        chance = np.asarray([len(gold) for gold in right]) / choices
    return ItemBaselines(
        chance=np.where(has_choices & ~any_word, chance, np.nan),
        right=tuple(
            (str(group), gold) if is_known else None
            for group, gold, is_known in zip(groups, right, has_answers, strict=True)
        ),
    )

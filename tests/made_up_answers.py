"""Made-up answers as arrays, for tests of statistics that need no run."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from forgetmeter.runs.content.answers import Answers
from forgetmeter.runs.content.baselines import ItemBaselines


def make_answers(
    correct: NDArray[np.bool_], relation: NDArray[np.int64] | None = None, *, recipes: tuple[str, ...] | None = None
) -> Answers:
    """Return answers of a baseline (first row) and its variants; all else is empty."""
    variants, items = correct.shape
    nothing = np.full(correct.shape, np.nan, dtype=np.float32)
    relation = np.full(items, -1) if relation is None else relation
    return Answers(
        model="org/tiny",
        task="made_up",
        recipes=recipes or ("baseline", *(f"l1_unstructured:overall:{row / 1000}" for row in range(1, variants))),
        items=np.asarray([f"made_up/{place}" for place in range(items)], dtype=object),
        relation=relation,
        relations=tuple(f"R{each}" for each in range(relation.max() + 1)),
        popularity=np.full(items, np.nan),
        baselines=ItemBaselines(np.full(items, np.nan), (None,) * items),
        answered=np.ones(correct.shape, dtype=np.bool_),
        correct=correct,
        changed=correct != correct[0],
        rank=nothing,
        margin=nothing,
        divergence=nothing,
    )

"""Forgotten items whose fact is still answered correctly in another phrasing."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from forgetmeter.report.html.ledger_changes import Change
from forgetmeter.runs.content.answers import Answers
from forgetmeter.runs.content.item_texts import ItemTexts


class OtherPhrasings:
    """The items of a task, grouped by fact."""

    def __init__(self, answers: Answers, about: ItemTexts | None) -> None:
        self._answers = answers
        self._facts: NDArray[np.int64] | None = None
        if about is not None and about.facts is not None:
            fact_of = dict(zip(about.ids, about.facts.tolist(), strict=True))
            self._facts = np.asarray([fact_of.get(item, -1) for item in answers.items], dtype=np.int64)

    def right(self, change: Change) -> NDArray[np.bool_] | None:
        """Return for each changed item whether the variant gets its fact right in another phrasing.

        Returns:
            Bools of shape ``(items,)``; ``None`` for gained items, or if the task has no phrasings.
        """
        facts = self._facts
        if facts is None or change.kind != "forgotten":
            return None
        answered = self._answers.answered[change.row] & self._answers.paired[change.row]
        right = facts[answered & self._answers.correct[change.row] & (facts >= 0)]
        mine = facts[change.items]
        # Forgotten items are wrong, so an item that is right is another phrasing.
        marks: NDArray[np.bool_] = (mine >= 0) & np.isin(mine, right)
        return marks

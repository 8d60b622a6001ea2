"""Answers too long to show in full, shown from where the answers to the same question differ."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from forgetmeter.report.words.distinct_answers import distinct_answers

Given = tuple[list[str], NDArray[np.int64]]
"""Distinct texts, and for each item the index of its text."""


class LongAnswers:
    """Collects the answers to each item of tasks with long answers.

    Args:
        longest: Answers with more characters than this are long.
    """

    def __init__(self, longest: int) -> None:
        self._longest = longest
        self._given: dict[int, dict[str, None]] = {}
        self._shortened: dict[int, dict[str, str]] = {}

    def see(self, items: NDArray[np.int64], given: Given) -> None:
        """Record answers, one per item."""
        texts, which = given
        long = [len(text) > self._longest for text in texts]
        if any(long):
            for item, text in zip(items.tolist(), which.tolist(), strict=True):
                self._given.setdefault(item, {})[texts[text]] = None

    def among(self, items: NDArray[np.int64], given: Given) -> Iterator[tuple[int, str]]:
        """Yield the index and the shortened text of each answer that begins like others to the same item."""
        if not self._given:
            return
        texts, which = given
        for place, (item, text) in enumerate(zip(items.tolist(), which.tolist(), strict=True)):
            if item in self._given:
                shown = self._apart(item).get(texts[text], texts[text])
                if shown != texts[text]:
                    yield place, shown

    def _apart(self, item: int) -> dict[str, str]:
        if item not in self._shortened:
            answers = list(self._given[item])
            is_long = any(len(each) > self._longest for each in answers)
            self._shortened[item] = dict(zip(answers, distinct_answers(answers), strict=True)) if is_long else {}
        return self._shortened[item]

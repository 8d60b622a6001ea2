"""Answers too long to be shown whole, which are shown from where those to the same question differ."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from forgetmeter.report.words.told_apart import told_apart

Given = tuple[list[str], NDArray[np.int64]]
"""Texts, each once, and for each item the index of its own."""


class LongAnswers:
    """Knows which answers were given to the same item, as far as some are long.

    Args:
        longest: An answer of more characters than this is long.
    """

    def __init__(self, longest: int) -> None:
        self._longest = longest
        self._given: dict[int, dict[str, None]] = {}
        self._told: dict[int, dict[str, str]] = {}

    def see(self, items: NDArray[np.int64], given: Given) -> None:
        """Take note of answers, one an item."""
        texts, which = given
        long = [len(text) > self._longest for text in texts]
        if any(long):
            for item, text in zip(items.tolist(), which.tolist(), strict=True):
                self._given.setdefault(item, {})[texts[text]] = None

    def among(self, items: NDArray[np.int64], given: Given) -> Iterator[tuple[int, str]]:
        """Yield the places of those of these answers that begin as others to the same item, and how to show them."""
        if not self._given:
            return
        texts, which = given
        for place, (item, text) in enumerate(zip(items.tolist(), which.tolist(), strict=True)):
            if item in self._given:
                shown = self._apart(item).get(texts[text], texts[text])
                if shown != texts[text]:
                    yield place, shown

    def _apart(self, item: int) -> dict[str, str]:
        if item not in self._told:
            answers = list(self._given[item])
            is_long = any(len(each) > self._longest for each in answers)
            self._told[item] = dict(zip(answers, told_apart(answers), strict=True)) if is_long else {}
        return self._told[item]

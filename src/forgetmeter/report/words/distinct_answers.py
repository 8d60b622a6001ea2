"""Long answers with a common beginning, shortened to where they differ."""

from __future__ import annotations

from collections.abc import Sequence
from os.path import commonprefix

_LONG_BEGINNING = 20


def distinct_answers(answers: Sequence[str]) -> list[str]:
    """Return answers as one line each, without a long common beginning unless all are equal.

    Args:
        answers: Answers to the same question; at least one.
    """
    lines = [" ".join(text.split()) for text in answers]
    # Start at a word boundary.
    start = commonprefix(lines).rfind(" ") + 1  # noqa: RUF071 - of characters, not of paths
    if len(set(lines)) == 1 or start < _LONG_BEGINNING:
        return lines
    return [f"…{line[start:]}" for line in lines]

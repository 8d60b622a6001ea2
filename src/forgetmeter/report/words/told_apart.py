"""Long answers that begin alike, from where they differ."""

from __future__ import annotations

from collections.abc import Sequence
from os.path import commonprefix

_LONG_BEGINNING = 20


def told_apart(answers: Sequence[str]) -> list[str]:
    """Return answers in one line each, without a long beginning that different ones share.

    Args:
        answers: To the same question; at least one.
    """
    lines = [" ".join(text.split()) for text in answers]
    # A word is shown whole.
    start = commonprefix(lines).rfind(" ") + 1  # noqa: RUF071 - of characters, not of paths
    if len(set(lines)) == 1 or start < _LONG_BEGINNING:
        return lines
    return [f"…{line[start:]}" for line in lines]

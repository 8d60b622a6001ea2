"""Numbers with their nouns, and names with the number of those left out."""

from __future__ import annotations

from collections.abc import Sequence


def counted(number: int, noun: str) -> str:
    """Return a number with its noun, such as ``1 item`` or ``2,000 items``; the plural ends in *s*."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def listed(names: Sequence[str], most: int, *, separator: str = ", ") -> str:
    """Return the first names and the number of the others, such as ``a, b and 3 more``."""
    more = f" and {len(names) - most:,} more" if len(names) > most else ""
    return separator.join(names[:most]) + more

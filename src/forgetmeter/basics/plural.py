"""Numbers with their nouns, sizes in megabytes, and names with the number of those left out."""

from __future__ import annotations

from collections.abc import Iterable, Sequence


def counted(number: int, noun: str) -> str:
    """Return a number with its noun, such as ``1 item`` or ``2,000 items``; the plural ends in *s*."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def megabytes(sizes: Iterable[int | None]) -> list[str]:
    """Return sizes in MB (10^6 bytes) with one to three decimals, depending on the largest; a dash if unknown."""
    sizes = list(sizes)
    largest = max((size for size in sizes if size is not None), default=0) / 1e6
    decimals = 1 if largest >= 10 else 2 if largest >= 1 else 3
    return ["—" if size is None else f"{size / 1e6:,.{decimals}f}" for size in sizes]


def joined(names: Iterable[str]) -> str:
    """Return all names, such as ``a, b and c``."""
    *first, last = names
    return f"{', '.join(first)} and {last}" if first else last


def listed(names: Sequence[str], most: int, *, separator: str = ", ") -> str:
    """Return the first names and the number of the others, such as ``a, b and 3 more``."""
    more = f" and {len(names) - most:,} more" if len(names) > most else ""
    return separator.join(names[:most]) + more

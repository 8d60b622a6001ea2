"""The nearest allowed name, for error messages."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


def did_you_mean(name: str, allowed: Iterable[str]) -> str:
    """Return ``; did you mean 'x'?`` for the allowed name closest to ``name``, or an empty string."""
    by_lowered = {each.lower(): each for each in allowed}
    close = difflib.get_close_matches(name.lower(), by_lowered, n=1, cutoff=0.6)
    return f"; did you mean '{by_lowered[close[0]]}'?" if close else ""


def unknown(kind: str, name: str, allowed: Iterable[str], *, most: int = 12) -> str:
    """Return one line that says that ``name`` is no ``kind``, the nearest name, and the allowed ones.

    Args:
        kind: What the name was meant to be, such as ``method``.
        name: What the user wrote.
        allowed: The names there are, in the order in which to show them.
        most: How many names to list before the rest is only counted.
    """
    names = list(allowed)
    listed = ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")
    return f"unknown {kind} '{name}'{did_you_mean(name, names)} (allowed: {listed})"

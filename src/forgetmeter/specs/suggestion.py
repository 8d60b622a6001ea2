"""Suggestions for misspelled names."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

from forgetmeter.basics.plural import listed
from forgetmeter.errors import UserError


def refuse_type(what: str, value: object, *kinds: type) -> None:
    """Refuse a value that is of none of the types, as a caller from Python may pass.

    Raises:
        UserError: It is of another type.
    """
    if not isinstance(value, kinds):
        wanted = " or ".join(kind.__name__ for kind in kinds)
        raise UserError(f"{what} is {value!r}, of type {type(value).__name__}; it must be {wanted}")


def did_you_mean(name: str, allowed: Iterable[str]) -> str:
    """Return ``; did you mean 'x'?`` for the allowed name closest to ``name``, or an empty string."""
    by_lowered = {each.lower(): each for each in allowed}
    close = difflib.get_close_matches(name.lower(), by_lowered, n=1, cutoff=0.6)
    return f"; did you mean '{by_lowered[close[0]]}'?" if close else ""


def unknown(kind: str, name: object, allowed: Iterable[str], *, within: str = "", most: int = 12) -> str:
    """Return a one-line error message for an unknown name, with the nearest and the allowed names.

    Args:
        kind: What the name should be, such as ``method``.
        within: Where the name was looked up, such as ``this run``.
        most: Maximum number of allowed names to list; the rest are counted.
    """
    names = list(allowed)
    place = f" in {within}" if within else ""
    those = f"allowed: {listed(names, most)}" if names else "there are none"
    return f"unknown {kind} '{name}'{place}{did_you_mean(str(name), names)} ({those})"

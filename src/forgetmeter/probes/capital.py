"""The capital with which a statement begins."""

from __future__ import annotations


def capitalized(text: str) -> str:
    """Return a text with its first letter a capital, and the rest as it is."""
    return text[:1].upper() + text[1:]

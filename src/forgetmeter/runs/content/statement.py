"""The question of an item, as one line of text."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

BLANK = "___"


def statement_of(item: Mapping[str, Any]) -> str:
    """Return the question of an item, with a blank written as ``___``; empty if its row lacks it.

    Args:
        item: A row of the items table; ``before``, ``after``, ``contexts`` and ``continuations`` are optional.
    """
    if item.get("before") is not None:
        return f"{item['before']}{BLANK}{item['after']}"
    contexts: list[str] = item.get("contexts") or []
    continuations = dict.fromkeys(item.get("continuations") or [])
    if not contexts:
        return ""
    # If the choices are different beginnings of one sentence, the item asks for the beginning.
    if len(set(contexts)) > 1 and len(continuations) == 1:
        return f"{BLANK}{next(iter(continuations))}"
    return str(contexts[0])

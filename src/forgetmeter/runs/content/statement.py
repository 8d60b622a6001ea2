"""What an item asks, as one line of a table has it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

BLANK = "___"


def statement_of(item: Mapping[str, Any]) -> str:
    """Return what an item asks, with a blank written as ``___``; nothing where its row does not say.

    Args:
        item: A row of the items table, with ``before``, ``after``, ``contexts`` and ``continuations`` as far as they
            are there.
    """
    if item.get("before") is not None:
        return f"{item['before']}{BLANK}{item['after']}"
    contexts: list[str] = item.get("contexts") or []
    continuations = dict.fromkeys(item.get("continuations") or [])
    if not contexts:
        return ""
    # Where the choices are different beginnings of the same sentence, that is what is asked.
    if len(set(contexts)) > 1 and len(continuations) == 1:
        return f"{BLANK}{next(iter(continuations))}"
    return str(contexts[0])

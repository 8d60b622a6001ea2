"""A parquet file found in a run, with what it says about itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class StoredItems:
    """A task's items.

    Attributes:
        task: The task.
        path: Where they are, relative to the run.
        facts: The task's description and ``items_hash``.
    """

    task: str
    path: str
    facts: Mapping[str, Any]


@dataclass(frozen=True)
class StoredCell:
    """A cell that is done.

    Attributes:
        variant: The variant's id.
        task: The task.
        path: Where its outcomes are, relative to the run.
        facts: What the run noted of it: seconds, tokens, aggregated metrics ...
    """

    variant: str
    task: str
    path: str
    facts: Mapping[str, Any]

"""Origin of imported answers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Origin:
    """The origin of one variant's answers.

    Attributes:
        tool: What wrote them, such as ``lm-eval 0.4.13``.
        files: SHA-256 of each file by name.
        settings: What the files say about how they were made, such as ``model_args``.
        notes: What a reader of the results must know, such as answers that were left out; one sentence each.
        tasks: The run's tasks that it has answers to.
    """

    tool: str
    files: Mapping[str, str]
    settings: Mapping[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    tasks: tuple[str, ...] = ()

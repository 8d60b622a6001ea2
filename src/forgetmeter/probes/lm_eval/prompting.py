"""How tasks of lm-evaluation-harness turn documents into prompts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

MISSING = "a field of its prompt is missing or null"
NO_ANSWER = "its right answer is missing or null"
ChatTemplate = Callable[..., str]
"""Renders messages (mappings with ``role`` and ``content``) as text; called with ``add_generation_prompt``."""


class MissingError(ValueError):
    """A document lacks a part of a prompt; the message says in the ledger's words which."""


def not_null(value: object) -> object:
    """Return what a template writes; Jinja would write ``None`` for a field without a value.

    Raises:
        MissingError: It is ``None``.
    """
    if value is None:
        raise MissingError(MISSING)
    return value


@dataclass(frozen=True)
class Prompting:
    """Settings of prompts, as in lm-evaluation-harness's ``simple_evaluate``.

    Attributes:
        num_fewshot: Number of examples before each question; ``None`` for that of the task's definition. A task whose
            definition sets it to 0 has none.
        system_instruction: Text before the task's own description.
        chat_template: Renders the prompt as a conversation in which each example is a turn; ``None`` for plain text.
    """

    num_fewshot: int | None = None
    system_instruction: str | None = None
    chat_template: ChatTemplate | None = None


PLAIN = Prompting()

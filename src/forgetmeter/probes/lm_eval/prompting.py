"""How tasks of lm-evaluation-harness turn documents into prompts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

ChatTemplate = Callable[..., str]
"""Renders messages (mappings with ``role`` and ``content``) as text; called with ``add_generation_prompt``."""


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

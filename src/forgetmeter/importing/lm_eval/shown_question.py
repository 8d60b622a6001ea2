"""Extracts the question from a logged context, dropping the few-shot examples before it."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from os.path import commonprefix


@dataclass(frozen=True)
class Examples:
    """What is known about the few-shot examples before each question.

    Attributes:
        number: Their number; ``None`` if unknown.
        delimiter: The separator between them.
        description: The text before them.
    """

    number: int | None = None
    delimiter: str = "\n\n"
    description: str = ""


class ShownQuestion:
    """Finds where each question begins; a question may itself contain the delimiter.

    Args:
        examples: What is known about the examples.
        contexts: All contexts of the task.
    """

    def __init__(self, examples: Examples, contexts: Collection[str]) -> None:
        self._examples = examples
        self._skipped = 0
        if examples.number and examples.delimiter:
            shared = commonprefix([each for each in contexts if each])  # noqa: RUF071 - on texts, not paths
            # With a single context, everything is shared, including the question.
            self._skipped = 0 if shared in contexts else _end(shared, examples.delimiter)

    def __call__(self, context: str) -> str:
        """Return a context without its examples, or, if their end is uncertain, without the prefix that all share."""
        examples = self._examples
        if not examples.number or not examples.delimiter:
            return context
        parts = context.removeprefix(examples.description).split(examples.delimiter)
        return parts[-1] if len(parts) == examples.number + 1 else context[self._skipped :]


def _end(text: str, delimiter: str) -> int:
    start = text.rfind(delimiter)
    return 0 if start < 0 else start + len(delimiter)

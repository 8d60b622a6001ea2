"""The question in a logged context, without the examples before it, which are the same text many times over."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from os.path import commonprefix


@dataclass(frozen=True)
class Examples:
    """What is known of the examples before each question.

    Attributes:
        number: Their number; ``None`` if unknown.
        delimiter: What separates them.
        description: The text before them.
    """

    number: int | None = None
    delimiter: str = "\n\n"
    description: str = ""


class ShownQuestion:
    """Finds where questions begin, which may contain the delimiter of the examples themselves.

    Args:
        examples: What is known of the examples.
        contexts: All contexts of the task.
    """

    def __init__(self, examples: Examples, contexts: Collection[str]) -> None:
        self._examples = examples
        self._skipped = 0
        if examples.number and examples.delimiter:
            shared = commonprefix([each for each in contexts if each])  # noqa: RUF071 - of texts, not of paths
            # With a single context, everything is shared, including the question.
            self._skipped = 0 if shared in contexts else _end(shared, examples.delimiter)

    def __call__(self, context: str) -> str:
        """Return a context without its examples, or, if these may be part of the question, without what all share."""
        examples = self._examples
        if not examples.number or not examples.delimiter:
            return context
        parts = context.removeprefix(examples.description).split(examples.delimiter)
        return parts[-1] if len(parts) == examples.number + 1 else context[self._skipped :]


def _end(text: str, delimiter: str) -> int:
    place = text.rfind(delimiter)
    return 0 if place < 0 else place + len(delimiter)

"""The form of a task's documents, which lm-evaluation-harness infers from the first one alone."""

from __future__ import annotations

import re
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

_LOOKED_AT = 100
"""Number of documents, evenly spaced over all, whose form is examined."""


def set_form(task: Any) -> None:  # noqa: ANN401 - lm-eval's, untyped
    """Let most documents decide whether a task has lists of right answers, and whether its choices are its prompts.

    lm-evaluation-harness 0.4.13 (``ConfigurableTask.__init__``) looks at the first document, and misjudges all others
    if that one differs.
    """
    docs = task.task_docs
    lists, numbers = list[bool](), list[bool]()
    for place in range(0, len(docs), max(1, len(docs) // _LOOKED_AT)):
        # Those that cannot be read become items with a problem.
        with suppress(Exception):
            target = task.doc_to_target(docs[place])
            lists += [isinstance(target, list)] if target is not None else []
        with suppress(Exception):
            numbers.append(isinstance(task.doc_to_text(docs[place]), int))
    task.multiple_target = int(_most(lists, otherwise=task.multiple_target))
    if task.config.doc_to_choice is not None:
        task.multiple_input = int(_most(numbers, otherwise=task.multiple_input))


def _most(found: Sequence[bool], *, otherwise: int) -> bool:
    return bool(otherwise) if 2 * sum(found) == len(found) else 2 * sum(found) > len(found)


def read_whole_numbers(task: Any) -> None:  # noqa: ANN401
    """Let a task give the place of the right choice as ``1.0``.

    ``datasets`` reads a field of integers as decimals if one of them is NaN or a decimal.
    """
    own = task.doc_to_target

    def target_of(doc: Any, doc_to_target: Any = None) -> Any:  # noqa: ANN401
        target = own(doc, doc_to_target)
        is_whole = isinstance(target, (str, float)) and re.fullmatch(r"\d+\.0", str(target))
        if is_whole and task.config.doc_to_choice is not None and target not in task.doc_to_choice(doc):
            return int(float(target))
        return target

    task.doc_to_target = target_of

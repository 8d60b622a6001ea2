"""Tasks of lm-evaluation-harness that are answered by a text: their requests, their filters, and made-up answers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from forgetmeter.errors import UserError
from forgetmeter.records.generation import Generation


def refuse_unanswerable(task: Any, name: str) -> None:  # noqa: ANN401 - lm-eval's, untyped
    """Check that a task can be answered by greedy generation from text alone, and that its metrics run no answers.

    Raises:
        UserError: It cannot.
    """
    if getattr(task, "UNSAFE_CODE", False):
        raise UserError(f"task '{name}' runs code that a model writes, which is not supported; choose another task")
    if getattr(task, "MULTIMODAL", False):
        raise UserError(f"task '{name}' asks about images or sounds, which is not supported; choose another task")
    if problem := Generation("", task.config.generation_kwargs).problem:
        raise UserError(f"task '{name}': generation_kwargs: {problem}")


def filter_remarks(task: Any, name: str) -> tuple[str, ...]:  # noqa: ANN401
    """Return a remark for the user about a task with several filters, for each of which lm-eval reports metrics."""
    first, *others = (each.name for each in task._filters)
    unused = ", ".join(others)
    return (f"task '{name}': answers are filtered by {first}, its first filter (not used: {unused})",) if others else ()


def filtered(task: Any, docs: Sequence[Any], texts: Sequence[str]) -> list[Any]:  # noqa: ANN401
    """Return answers to documents as the first filter of a task leaves them, each a text or a list of texts."""
    from lm_eval.api.instance import Instance

    chosen = task._filters[0]
    # Repeated greedy answers are the same, but filters such as a majority vote expect their number.
    repeats = task.config.repeats or 1
    instances = [
        Instance("generate_until", doc, (), 0, resps=[text] * repeats) for doc, text in zip(docs, texts, strict=True)
    ]
    if instances:
        chosen.apply(instances)
    return [instance.filtered_resps[chosen.name] for instance in instances]


def targets(task: Any, doc: Any) -> list[str]:  # noqa: ANN401
    """Return the right answers to a document."""
    target = task.doc_to_target(doc)
    if task.config.doc_to_choice is not None and isinstance(target, int):
        target = task.doc_to_choice(doc)[target]
    return [str(each) for each in (target if isinstance(target, list) else [target])]


def made_up_answers(right: Sequence[str]) -> tuple[str, ...]:
    """Return answers that are right, nearly right and wrong, for which a metric of shares is neither 0 nor 1."""
    text = right[0] if right else ""
    return text, f"{text} as well as other words", text[: -(-len(text) // 2)], ""

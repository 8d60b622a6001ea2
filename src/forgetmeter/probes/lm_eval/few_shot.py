"""Examples before each question of a task of lm-evaluation-harness."""

from __future__ import annotations

from typing import Any

from forgetmeter.basics.plural import counted
from forgetmeter.errors import UserError
from forgetmeter.probes.lm_eval.prompting import MissingError

UNANSWERED_EXAMPLE = "one of its few-shot examples has no valid right answer"


def refuse_unanswered_examples(task: Any) -> None:  # noqa: ANN401 - lm-eval's, untyped
    """Let a prompt fail if one of its examples has no right answer, or an index that no choice has.

    lm-evaluation-harness 0.4.13 writes such an example without an answer, and the next one directly after it; it takes
    -1 for the last choice. An empty answer is meant only where the definition has no template or field for it.
    """
    own, declared = task.build_qa_turn, task.fewshot_cfg.doc_to_target
    may_be_empty = not isinstance(declared, str) or not declared

    def build_qa_turn(**parts: Any) -> Any:  # noqa: ANN401
        # The question itself is passed without an answer.
        if "a" not in parts or not isinstance(parts["q"], str):
            return own(**parts)
        answer = parts["a"]
        is_negative = isinstance(answer, int) and answer < 0
        if answer is None or is_negative or (answer == "" and not may_be_empty):
            raise MissingError(UNANSWERED_EXAMPLE)
        try:
            return own(**parts)
        except Exception as error:
            raise MissingError(UNANSWERED_EXAMPLE) from error

    task.build_qa_turn = build_qa_turn


def set_num_fewshot(task: Any, name: str, number: int | None) -> tuple[str, ...]:  # noqa: ANN401 - lm-eval's, untyped
    """Set the number of examples, as ``simple_evaluate`` of lm-evaluation-harness 0.4.13 does.

    Args:
        task: The task.
        name: Its name.
        number: The number; ``None`` for that of the task's definition. A definition that sets it to 0 prevails.

    Returns:
        Remarks for the user about the examples.

    Raises:
        UserError: The data set has too few examples.
    """
    if number and task.config.num_fewshot == 0:
        return (f"task '{name}': its definition allows no few-shot examples, so num_fewshot is ignored",)
    if number is not None:
        task.set_config("num_fewshot", number)
    wanted = task.config.num_fewshot or 0
    if not wanted:
        return ()
    source, asked = _example_split(task), task.config.test_split or task.config.validation_split
    # Where the definition names the test split, lm-eval leaves out the item itself.
    leaves_out = source is not None and source == task.fewshot_cfg.split == task.config.test_split
    found = len(task.sampler.fewshot_docs()) - leaves_out
    if wanted > found:
        raise UserError(f"task '{name}': num_fewshot is {wanted}, but its data has only {counted(found, 'example')}")
    if source == asked and not leaves_out:
        return (f"task '{name}': its only split is '{asked}', so an item may be one of its own examples",)
    return ()


def _example_split(task: Any) -> str | None:  # noqa: ANN401
    """Return the name of the split of the examples; ``None`` if the definition lists them."""
    if task.fewshot_cfg.split is not None:
        return str(task.fewshot_cfg.split)
    if task.config.fewshot_config is not None and task.fewshot_cfg.samples is not None:
        return None
    splits = (task.config.training_split, task.config.validation_split, task.config.test_split)
    return next((split for split in splits if split), None)

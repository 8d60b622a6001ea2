"""Judging answers: nothing that is not a number is right, whoever wrote the task."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from forgetmeter.records.item import Answer, Task
from forgetmeter.records.outcome import Judgement, Outcome


def judged(task: Task, answers: Sequence[Answer | None]) -> Judgement:
    """Judge answers by a task's own rule; of a task with right answers, those that are not numbers are wrong."""
    judgement = task.judge(answers)
    said_nothing = {
        item.id for item, answer in zip(task.items, answers, strict=True) if answer is not None and not answer.is_number
    }
    if not said_nothing:
        return judgement
    return replace(judgement, outcomes=tuple(_sound(outcome, said_nothing) for outcome in judgement.outcomes))


def not_numbers(answers: Sequence[Answer | None]) -> tuple[int, int]:
    """Return how many of the items that were asked were answered by something other than numbers, and how many were."""
    asked = [answer for answer in answers if answer is not None]
    return sum(not answer.is_number for answer in asked), len(asked)


def _sound(outcome: Outcome, said_nothing: set[str]) -> Outcome:
    if outcome.item_id not in said_nothing or outcome.correct is None:
        return outcome
    return replace(outcome, correct=False, prediction="", rank=None, margin=None)

"""What one variant did on one item."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Outcome:
    """What one variant did on one item.

    Attributes:
        item_id: The item.
        correct: Whether it counts as right; follows the task's primary metric. ``None`` where there is nothing to get
            right, for all items of a task alike.
        prediction: The answer that was given, as text; empty where none was.
        gold: The right answer, as text; where several are right, all of them, joined by `` / ``.
        rank: 1 + how many other choices come before the best right one by the measure that decides ``correct``: those
            that have more of it and, of equal ones, those that are listed before it. ``None`` where the model's logits
            were not numbers.
        margin: That measure of the best right choice minus that of the best wrong one: nats where it is the
            log-likelihood, nats a character where it is normalized by length.
        loglikelihoods: One a choice, or that of the text, in nats.
        metrics: The task's per-item metrics by name.
    """

    item_id: str
    correct: bool | None
    prediction: str
    gold: str
    rank: int | None
    margin: float | None
    loglikelihoods: tuple[float, ...]
    metrics: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Judgement:
    """What one variant did on one task.

    Attributes:
        outcomes: One an item, in order.
        metrics: The task's own metrics over all items, by name.
    """

    outcomes: tuple[Outcome, ...]
    metrics: Mapping[str, float]

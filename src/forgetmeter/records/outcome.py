"""Outcomes: a variant's result on one item, and on a whole task."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from forgetmeter.basics.plural import counted


@dataclass(frozen=True)
class Outcome:
    """The result of one variant on one item.

    Attributes:
        item_id: The item.
        correct: Whether the answer is right by the task's primary metric. ``None`` for all items of a task without
            right answers.
        prediction: The given answer as text; empty if there is none.
        gold: The right answer as text; several right answers are joined by `` / ``.
        rank: 1 + the number of choices ahead of the best right one by the measure that decides ``correct``; of equal
            choices, the one listed first is ahead. ``None`` if the model's logits are not numbers.
        margin: That measure of the best right choice minus that of the best wrong one: in nats for log-likelihoods, in
            nats per character if normalized by length.
        loglikelihoods: One per choice, or that of the text, in nats.
        metrics: The task's per-item metrics by name.
        generated: The whole text that the model wrote, of which ``prediction`` is the answer that counts; ``None`` if
            the item did not ask for a text.
        token_values: A value for each token of the item, of a task that measures tokens (see ``Metric.quantile``).
    """

    item_id: str
    correct: bool | None
    prediction: str
    gold: str
    rank: int | None
    margin: float | None
    loglikelihoods: tuple[float, ...] = field(repr=False)
    metrics: Mapping[str, float] = field(default_factory=dict)
    token_values: tuple[float, ...] = field(default=(), repr=False)
    generated: str | None = None


def measured_outcome(
    item_id: str, loglikelihood: float, metrics: Mapping[str, float], *, token_values: tuple[float, ...] = ()
) -> Outcome:
    """Return the outcome of a text, which is neither right nor wrong."""
    return Outcome(item_id, None, "", "", None, None, (loglikelihood,), metrics, token_values)


@dataclass(frozen=True, repr=False)
class Judgement:
    """The result of one variant on one task.

    Attributes:
        outcomes: One per item, in order.
        metrics: The task's own metrics over all items, by name.
    """

    outcomes: tuple[Outcome, ...]
    metrics: Mapping[str, float]

    def __repr__(self) -> str:
        """Return a short text for notebooks."""
        metrics = ", ".join(f"{name}={value:.4g}" for name, value in self.metrics.items())
        return f"<Judgement of {counted(len(self.outcomes), 'item')}: {metrics}>"

"""Items of a task, and the requests that score them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from forgetmeter.records.outcome import Judgement


@dataclass(frozen=True)
class Request:
    """A continuation whose log-likelihood after a context is wanted."""

    context: str
    continuation: str


@dataclass(frozen=True)
class RequestScore:
    """What a model says of a request.

    Attributes:
        loglikelihood: Sum over the continuation's tokens of their log-probability, in nats.
        is_greedy: Whether every token of the continuation is the most likely one at its place.
    """

    loglikelihood: float
    is_greedy: bool


@dataclass(frozen=True)
class Item:
    """One question of a task.

    Attributes:
        id: The task and the index in its official order, such as ``piqa/17``.
        content_hash: Hash of everything that is asked and of the right answer.
        requests: What has to be scored to judge it, in the order of ``choices``.
        choices: The answers to choose among, as text.
        gold: Indices into ``choices`` of the right answers.
        fields: Whatever else the task knows of it, such as its relation.
    """

    id: str
    content_hash: str
    requests: tuple[Request, ...]
    choices: tuple[str, ...]
    gold: tuple[int, ...]
    fields: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class TaskDescription:
    """What a task is and where it comes from.

    Attributes:
        name: As in a study.
        version: The version that its definition states.
        source: Whose definition it is, with version.
        primary_metric: The metric that ``Outcome.correct`` follows.
        official_size: Number of items in the evaluated split, before any limit.
    """

    name: str
    version: str
    source: str
    primary_metric: str
    official_size: int


class Task(Protocol):
    """A set of items with the rule that judges each."""

    @property
    def description(self) -> TaskDescription:
        """What the task is."""
        ...

    @property
    def items(self) -> Sequence[Item]:
        """The items, in official order."""
        ...

    def judge(self, scores: Sequence[Sequence[RequestScore]]) -> Judgement:
        """Judge all items.

        Args:
            scores: For each item in order, the scores of its requests in order.
        """
        ...

"""Items of a task: what is asked, and what a model answers."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal, Protocol, get_args

from forgetmeter.errors import UserError
from forgetmeter.records.outcome import Judgement, Outcome


@dataclass(frozen=True)
class Request:
    """A continuation whose log-likelihood after a context is wanted."""

    context: str
    continuation: str


class Requests(tuple[Request, ...]):
    """Asks for continuations, first one for each of the item's choices, in their order."""


@dataclass(frozen=True)
class Cloze:
    """Asks for what fills the blank of a text; the candidates are the item's choices.

    Attributes:
        before: The text before the blank, spaces included.
        after: The text after it.
        among: What the answers compete with: ``candidates``, where whole statements are ranked, the blank filled
            by each candidate; ``answers``, where the candidates are ranked by their own log-likelihood in the
            blank, given the text around it (a decoder: before it); or ``vocabulary``, where every token of the
            model's vocabulary could fill the blank and the right answer must be one of them. A decoder, which
            cannot look ahead, ranks whole statements there too, and answers from its vocabulary as well where the
            blank ends the text.
    """

    before: str
    after: str
    among: Literal["vocabulary", "candidates", "answers"]

    def filled(self, answer: str) -> str:
        """Return the statement that an answer makes of it."""
        return f"{self.before}{answer}{self.after}"


@dataclass(frozen=True)
class WholeText:
    """Asks for the log-likelihood of a whole text: there is nothing to get right.

    Attributes:
        text: The text.
        window: The most tokens of it to read at a time; ``None`` for as many as the model can.
    """

    text: str
    window: int | None = None


@dataclass(frozen=True)
class Problem:
    """Asks nothing: no model can be asked the item, so it is left out, counted and named.

    Attributes:
        reason: Why, such as a right answer that is none of the choices.
    """

    reason: str


Asks = Requests | Cloze | WholeText | Problem
"""What an item asks; scoring and judging go by its type."""


def _is_sound(loglikelihoods: Sequence[float]) -> bool:
    """Whether these are numbers, and not all of them what a model rules out."""
    # A sum is NaN if one of the values is.
    return not math.isnan(sum(loglikelihoods)) and math.isfinite(max(loglikelihoods, default=-math.inf))


@dataclass(frozen=True)
class RequestScore:
    """What a model says of a request.

    Attributes:
        loglikelihood: Sum over the continuation's tokens of their log-probability, in nats.
        is_greedy: Whether every token of the continuation is the most likely one at its place.
    """

    loglikelihood: float
    is_greedy: bool


class RequestScores(tuple[RequestScore, ...]):
    """What a model says of an item's requests, one score each."""

    @property
    def is_number(self) -> bool:
        """Whether it says anything; see ``Answer``."""
        return _is_sound([score.loglikelihood for score in self])


@dataclass(frozen=True)
class VocabularyAnswer:
    """What a model says at a blank, of all the tokens that it has.

    Attributes:
        top: The most likely tokens as text, the likeliest first; at least five.
        rank: 1 + how many tokens are more likely than the right answer's, or as likely and before it in the vocabulary.
        loglikelihood: Log-probability of the right answer's token, in nats.
        best_other: That of the likeliest other token.
    """

    top: tuple[str, ...]
    rank: int
    loglikelihood: float
    best_other: float


@dataclass(frozen=True)
class ClozeAnswer:
    """What a model says of a cloze.

    Attributes:
        candidates: Log-likelihood of each candidate, in nats; empty where they were not asked for.
        vocabulary: Its answer from the whole vocabulary; ``None`` where that was not asked for or cannot be had.
    """

    candidates: tuple[float, ...] = ()
    vocabulary: VocabularyAnswer | None = None

    @property
    def is_number(self) -> bool:
        """Whether it says anything; see ``Answer``."""
        return _is_sound((*self.candidates, *(() if self.vocabulary is None else (self.vocabulary.loglikelihood,))))


@dataclass(frozen=True)
class TextAnswer:
    """What a model says of a whole text.

    Attributes:
        loglikelihood: Sum over all its tokens of their log-probability, in nats, each after what stands before it as
            far as the model looks back.
        tokens: How many tokens these are.
    """

    loglikelihood: float
    tokens: int

    @property
    def is_number(self) -> bool:
        """Whether it says anything; see ``Answer``."""
        return _is_sound((self.loglikelihood,))


Answer = RequestScores | ClozeAnswer | TextAnswer
"""What a model says of an item, by what the item asks.

Each says by ``is_number`` whether it says anything: a model whose logits are NaN or infinite has answered nothing.
``-inf`` is the log-likelihood of what a model rules out; if it rules out everything, that is no answer either.
"""


@dataclass(frozen=True)
class Item:
    """One question of a task.

    Attributes:
        id: The task and the index in its official order, such as ``piqa/17``.
        content_hash: Hash of everything that is asked and of the right answer.
        asks: What is asked, by its type.
        choices: The answers to choose among, as text; of a ``WholeText`` none.
        gold: Indices into ``choices`` of the right answers.
        fields: Whatever else the task knows of it, such as its relation.
    """

    id: str
    content_hash: str
    asks: Asks
    choices: tuple[str, ...] = ()
    gold: tuple[int, ...] = ()
    fields: Mapping[str, str] = field(default_factory=dict)

    @property
    def problem(self) -> str | None:
        """Why no model can be asked it; ``None`` where there is nothing wrong with it."""
        return self.asks.reason if isinstance(self.asks, Problem) else None

    @property
    def cloze(self) -> Cloze:
        """The cloze that it asks.

        Raises:
            TypeError: It asks something else.
        """
        if not isinstance(self.asks, Cloze):
            raise TypeError(f"item '{self.id}' asks no cloze but {type(self.asks).__name__}")
        return self.asks

    @property
    def requests(self) -> Requests:
        """The requests that it asks; none where it asks something else."""
        return self.asks if isinstance(self.asks, Requests) else Requests()


@dataclass(frozen=True)
class TaskDescription:
    """What a task is and where it comes from.

    Attributes:
        name: As in a study.
        version: The version that its definition states.
        source: Whose definition it is, with version.
        primary_metric: The metric that ``Outcome.correct`` follows; where nothing is right or wrong, the first of all.
        official_size: Number of items in the evaluated split, before any limit and filter.
        filters: How many items each filter of the task dropped, whatever the model, by what it looks for.
    """

    name: str
    version: str
    source: str
    primary_metric: str
    official_size: int
    filters: Mapping[str, int] = field(default_factory=dict)


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

    def judge(self, answers: Sequence[Answer | None]) -> Judgement:
        """Judge the items that were answered.

        Args:
            answers: For each item in order, what the model said; ``None`` where it cannot be asked, such as for
                an answer that is not one token of its vocabulary.
        """
        ...


def check_task(task: Task, name: str) -> None:
    """Check that a task, which may be a plug-in's, is what it must be.

    Args:
        task: The task.
        name: The name by which it was asked for.

    Raises:
        UserError: It is not; the message names the first thing that is wrong.
    """
    description = getattr(task, "description", None)
    if not isinstance(description, TaskDescription):
        raise UserError(f"task '{name}' has no TaskDescription as its description")
    if description.name != name:
        raise UserError(f"task '{name}' describes itself as {description.name!r}; make the names agree")
    if not task.items:
        raise UserError(f"task '{name}' has no items")
    seen: set[str] = set()
    for item in task.items:
        if problem := next(_item_problems(item, seen), None):
            raise UserError(f"task '{name}': {problem}")
        seen.add(item.id)


def _item_problems(item: Item, seen: set[str]) -> Iterator[str]:
    if not isinstance(item, Item):
        yield f"{item!r:.80} is not an Item"
        return
    if item.id in seen:
        yield f"two items have the id '{item.id}'"
    if not isinstance(item.asks, get_args(Asks)):
        allowed = " or ".join(one.__name__ for one in get_args(Asks))
        yield f"item '{item.id}' asks {item.asks!r:.80}, which is not {allowed}"
    if not all(isinstance(text, str) for text in (item.id, item.content_hash, *item.choices, *item.fields.values())):
        yield f"item '{item.id}' must have text as its id, content_hash, choices and fields"
    if not all(type(index) is int and 0 <= index < len(item.choices) for index in item.gold):
        yield f"item '{item.id}' has gold {item.gold}, which must be indices of its {len(item.choices)} choices"
    if isinstance(item.asks, Cloze) and not item.gold:
        yield f"item '{item.id}' is a cloze without a right answer"
    if isinstance(item.asks, Requests) and len(item.asks) < max(1, len(item.choices)):
        yield f"item '{item.id}' has {len(item.choices)} choices but {len(item.asks)} requests"


def judged(task: Task, answers: Sequence[Answer | None]) -> Judgement:
    """Judge answers by a task's own rule; of a task with right answers, those that are not numbers are wrong.

    Raises:
        UserError: The task does not judge each item that was answered, in order.
    """
    judgement = task.judge(answers)
    answered = [(item, answer) for item, answer in zip(task.items, answers, strict=True) if answer is not None]
    if [outcome.item_id for outcome in judgement.outcomes] != [item.id for item, _ in answered]:
        raise UserError(
            f"task '{task.description.name}' must judge the {len(answered)} items that were answered, in order; "
            f"it judged {len(judgement.outcomes)}, or others"
        )
    said_nothing = {item.id for item, answer in answered if not answer.is_number}
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

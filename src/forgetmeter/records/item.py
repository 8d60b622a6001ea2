"""Items of a task: the questions, and a model's answers."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal, Protocol, get_args

from forgetmeter.basics.plural import counted
from forgetmeter.errors import UserError
from forgetmeter.records.generation import GeneratedText, Generation
from forgetmeter.records.outcome import Judgement, Outcome


@dataclass(frozen=True)
class Request:
    """A request for the log-likelihood of a continuation after a context."""

    context: str
    continuation: str


Among = Literal["vocabulary", "candidates", "answers"]
"""The answers that a cloze is ranked among."""


class Requests(tuple[Request, ...]):
    """Asks for log-likelihoods of continuations; the first ``len(choices)`` belong to the item's choices, in order."""


@dataclass(frozen=True)
class Cloze:
    """Asks the model to fill the blank in a text; the candidates are the item's choices.

    Attributes:
        before: The text before the blank, including spaces.
        after: The text after it.
        among: The competing answers: ``candidates`` ranks whole statements, the blank filled by each candidate;
            ``answers`` ranks candidates by their own log-likelihood in the blank, given the text around it (for a
            decoder: before it); ``vocabulary`` ranks all tokens of the model's vocabulary, of which the right answer
            must be one. For ``vocabulary``, a decoder, which cannot look ahead, ranks whole statements, and also its
            vocabulary if the blank ends the text.
    """

    before: str
    after: str
    among: Among

    def filled(self, answer: str) -> str:
        """Return the statement with the blank filled."""
        return f"{self.before}{answer}{self.after}"


@dataclass(frozen=True)
class WholeText:
    """Asks for the log-likelihood of a whole text, which has no right answer.

    Attributes:
        text: The text.
        window: Maximum number of tokens per window; ``None`` for the model's own limit.
    """

    text: str
    window: int | None = None


@dataclass(frozen=True)
class ComparedText(WholeText):
    """Asks how far a variant's predictions of each token of a whole text are from its baseline's."""


@dataclass(frozen=True)
class Problem:
    """An item that no model can be scored on; it is left out, counted and reported.

    Attributes:
        reason: The reason, such as a right answer that is not one of the choices.
    """

    reason: str


Asks = Requests | Cloze | WholeText | Generation | Problem
"""The question of an item; its type decides scoring and judging."""


def _is_sound(loglikelihoods: Sequence[float]) -> bool:
    """Whether no value is NaN or ``inf``, and not all are ``-inf``."""
    # A sum is NaN if one of the values is.
    return not math.isnan(sum(loglikelihoods)) and math.isfinite(max(loglikelihoods, default=-math.inf))


@dataclass(frozen=True)
class RequestScore:
    """A model's answer to a request.

    Attributes:
        loglikelihood: Sum of the log-probabilities of the continuation's tokens, in nats.
        is_greedy: Whether every token of the continuation is the most likely one at its position.
    """

    loglikelihood: float
    is_greedy: bool


class RequestScores(tuple[RequestScore, ...]):
    """A model's answers to an item's requests, one score per request."""

    @property
    def is_number(self) -> bool:
        """Whether the log-likelihoods are usable numbers; see ``Answer``."""
        return _is_sound([score.loglikelihood for score in self])


@dataclass(frozen=True)
class VocabularyAnswer:
    """A model's ranking of its whole vocabulary at a blank.

    Attributes:
        top: The most likely tokens as text, likeliest first; at least five.
        rank: 1 + the number of tokens more likely than the right one, or as likely and before it in the vocabulary.
        loglikelihood: Log-probability of the right answer's token, in nats.
        best_other: Log-probability of the likeliest other token, in nats.
    """

    top: tuple[str, ...]
    rank: int
    loglikelihood: float
    best_other: float


@dataclass(frozen=True)
class ClozeAnswer:
    """A model's answer to a cloze.

    Attributes:
        candidates: Log-likelihood of each candidate, in nats; empty if not asked for.
        vocabulary: The answer from the whole vocabulary; ``None`` if not asked for or not available.
    """

    candidates: tuple[float, ...] = ()
    vocabulary: VocabularyAnswer | None = None

    @property
    def is_number(self) -> bool:
        """Whether the log-likelihoods are usable numbers; see ``Answer``."""
        return _is_sound((*self.candidates, *(() if self.vocabulary is None else (self.vocabulary.loglikelihood,))))


@dataclass(frozen=True)
class TextAnswer:
    """A model's answer to a whole text.

    Attributes:
        loglikelihood: Sum of the log-probabilities of all its tokens, in nats, each given the previous ones within the
            model's context.
        tokens: Number of these tokens.
    """

    loglikelihood: float
    tokens: int

    @property
    def is_number(self) -> bool:
        """Whether the log-likelihood is a usable number; see ``Answer``."""
        return _is_sound((self.loglikelihood,))


@dataclass(frozen=True)
class ComparedAnswer:
    """A variant's predictions of a text and its baseline's, with one entry for each of the text's tokens.

    Attributes:
        divergences: Kullback-Leibler divergence KL(baseline ‖ variant) of the two distributions over the vocabulary,
            in nats.
        agreements: Whether the same token is the likeliest one for both.
        logprobs: Log-probability of the token for the variant, in nats.
        baseline_logprobs: Log-probability of the token for the baseline, in nats.
    """

    divergences: tuple[float, ...]
    agreements: tuple[bool, ...]
    logprobs: tuple[float, ...]
    baseline_logprobs: tuple[float, ...]

    @property
    def is_number(self) -> bool:
        """Whether divergences and log-probabilities are usable numbers; see ``Answer``."""
        # A variant may rule out what the baseline does not: such a divergence is infinite.
        return not math.isnan(sum(self.divergences) + sum(self.baseline_logprobs)) and _is_sound((sum(self.logprobs),))


Answer = RequestScores | ClozeAnswer | TextAnswer | ComparedAnswer | GeneratedText
"""A model's answer to an item, by the type of question.

``is_number`` is false if the log-likelihoods are NaN or ``inf``. ``-inf`` means that the model rules a text out; if it
rules out everything, that is not an answer either.
"""


@dataclass(frozen=True)
class Item:
    """One question of a task.

    Attributes:
        id: The task and the index in the task's official order, such as ``piqa/17``.
        content_hash: Hash of the question and the right answer.
        asks: The question.
        choices: The answers to choose from, as text; empty for a ``WholeText`` or a ``Generation``.
        gold: Indices of the right answers in ``choices``.
        fields: Further facts about it, such as its relation.
    """

    id: str
    content_hash: str
    asks: Asks
    choices: tuple[str, ...] = ()
    gold: tuple[int, ...] = ()
    fields: Mapping[str, str] = field(default_factory=dict)

    @property
    def problem(self) -> str | None:
        """Why no model can be scored on it, or ``None``."""
        return self.asks.reason if isinstance(self.asks, Problem) else None

    @property
    def cloze(self) -> Cloze:
        """The cloze that it asks.

        Raises:
            TypeError: It asks something else.
        """
        if not isinstance(self.asks, Cloze):
            raise TypeError(f"item '{self.id}' is a {type(self.asks).__name__}, not a Cloze")
        return self.asks

    @property
    def requests(self) -> Requests:
        """The requests that it asks; empty if it asks something else."""
        return self.asks if isinstance(self.asks, Requests) else Requests()


def is_compared(items: Iterable[Item]) -> bool:
    """Whether a task's items compare a variant with its baseline."""
    return any(isinstance(item.asks, ComparedText) for item in items)


def is_generated(items: Iterable[Item]) -> bool:
    """Whether a task's items are answered with generated texts."""
    return any(isinstance(item.asks, Generation) for item in items)


@dataclass(frozen=True)
class TaskDescription:
    """A description of a task and its origin.

    Attributes:
        name: Its name in a study.
        version: The version of its definition.
        source: The origin of its definition, with version.
        primary_metric: The metric that ``Outcome.correct`` follows; the first one if nothing is right or wrong.
        official_size: Number of items in the evaluated split, before any limit and filter.
        filters: Number of items dropped by each filter of the task for every model, keyed by what the filter looks for.
        remarks: What a user should know about its data, such as columns that are not used.
        judging: Hash of the judging rules (such as the metrics) if a user's own file defines them; else empty.
        answer_filter: The filter whose results count, if answers are texts that lm-eval filters; else empty.
    """

    name: str
    version: str
    source: str
    primary_metric: str
    official_size: int
    filters: Mapping[str, int] = field(default_factory=dict)
    remarks: tuple[str, ...] = ()
    judging: str = ""
    answer_filter: str = ""


class Task(Protocol):
    """A set of items with the rule that judges each."""

    @property
    def description(self) -> TaskDescription:
        """The task's description."""
        ...

    @property
    def items(self) -> Sequence[Item]:
        """The items, in official order."""
        ...

    def judge(self, answers: Sequence[Answer | None]) -> Judgement:
        """Judge the answered items.

        Args:
            answers: The model's answer to each item, in order; ``None`` if the item cannot be scored, for example
                because the answer is not a single token of the model's vocabulary.
        """
        ...


def check_task(task: Task, name: str | None = None) -> None:
    """Check that a task, possibly from a plug-in, is well-formed.

    Args:
        task: The task.
        name: The requested name, if any.

    Raises:
        UserError: The task is not well-formed; the message names the first fault.
    """
    description = getattr(task, "description", None)
    if not isinstance(description, TaskDescription):
        if name is None:
            wanted = "the name of a task, such as 'facts', or an object with description, items and judge"
            raise UserError(f"'{type(task).__name__}' object is not a task; give {wanted}")
        raise UserError(f"the description of task '{name}' is not a TaskDescription")
    name = name or description.name
    if description.name != name:
        raise UserError(f"task '{name}' describes itself as {description.name!r}; make the names agree")
    if not getattr(task, "items", None):
        raise UserError(f"task '{name}' has no items")
    seen: set[str] = set()
    for item in task.items:
        if problem := next(_item_problems(item, seen), None):
            raise UserError(f"task '{name}': {problem}")
        seen.add(item.id)
    if len({isinstance(item.asks, Generation) for item in task.items if item.problem is None}) > 1:
        raise UserError(f"task '{name}' mixes generation items with other items; split it into two tasks")


def _item_problems(item: Item, seen: set[str]) -> Iterator[str]:
    if not isinstance(item, Item):
        yield f"{item!r:.80} is not an Item"
        return
    if item.id in seen:
        yield f"two items have the id '{item.id}'"
    if not isinstance(item.asks, get_args(Asks)):
        allowed = ", ".join(one.__name__ for one in get_args(Asks))
        yield f"item '{item.id}' asks {item.asks!r:.80}; allowed: {allowed}"
    if not all(isinstance(text, str) for text in (item.id, item.content_hash, *item.choices, *item.fields.values())):
        yield f"item '{item.id}' must have text as its id, content_hash, choices and fields"
    if not all(type(index) is int and 0 <= index < len(item.choices) for index in item.gold):
        choices = counted(len(item.choices), "choice")
        yield f"item '{item.id}' has gold {item.gold}, which must be indices of its {choices}"
    if isinstance(item.asks, Cloze) and not item.gold:
        yield f"item '{item.id}' is a cloze without a right answer"
    if isinstance(item.asks, Requests) and len(item.asks) < max(1, len(item.choices)):
        numbers = f"{counted(len(item.choices), 'choice')} and {counted(len(item.asks), 'request')}"
        yield f"item '{item.id}' has {numbers}; it needs one request per choice, and at least one"
    if isinstance(item.asks, Generation) and item.asks.problem:
        yield f"item '{item.id}': {item.asks.problem}"


def valid_items(task: Task) -> list[Item]:
    """Return the items to store: those that no model can be scored on must not count in the rate of guessing."""
    return [item for item in task.items if item.problem is None]


def judged(task: Task, answers: Sequence[Answer | None]) -> Judgement:
    """Judge answers by a task's own rule; in tasks with right answers, answers that are not numbers are wrong.

    Raises:
        UserError: The task does not judge every answered item, in order.
    """
    judgement = task.judge(answers)
    if not isinstance(judgement, Judgement):
        raise UserError(
            f"task '{task.description.name}' must return a Judgement, not {type(judgement).__name__}, from judge"
        )
    answered = [(item, answer) for item, answer in zip(task.items, answers, strict=True) if answer is not None]
    if [outcome.item_id for outcome in judgement.outcomes] != [item.id for item, _ in answered]:
        returned = counted(len(judgement.outcomes), "outcome")
        if len(judgement.outcomes) == len(answered):
            returned += " for other items or in another order"
        raise UserError(
            f"task '{task.description.name}' must return one outcome per answered item, in order "
            f"({counted(len(answered), 'item')}); it returned {returned}"
        )
    said_nothing = {item.id for item, answer in answered if not answer.is_number}
    if not said_nothing:
        return judgement
    return replace(judgement, outcomes=tuple(_sound(outcome, said_nothing) for outcome in judgement.outcomes))


def not_numbers(answers: Sequence[Answer | None]) -> tuple[int, int]:
    """Return the number of answers that are not numbers, and the number of items scored."""
    asked = [answer for answer in answers if answer is not None]
    return sum(not answer.is_number for answer in asked), len(asked)


def _sound(outcome: Outcome, said_nothing: set[str]) -> Outcome:
    if outcome.item_id not in said_nothing or outcome.correct is None:
        return outcome
    return replace(outcome, correct=False, prediction="", rank=None, margin=None)

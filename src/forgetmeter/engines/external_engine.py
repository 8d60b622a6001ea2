"""An engine that runs another runtime through the interface of lm-evaluation-harness's models."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from copy import deepcopy
from dataclasses import replace
from functools import cache, cached_property
from heapq import nlargest
from itertools import chain, islice, starmap
from typing import Any, Literal, Protocol

from forgetmeter.basics.own_code import (
    REFUSED,
    guard_compressed_tensors,
    is_about_own_code,
    without_own_code,
)
from forgetmeter.basics.quiet import quiet
from forgetmeter.basics.visible_text import encodable
from forgetmeter.engines.answer_problems import EngineAnswerError, described
from forgetmeter.engines.known_text import long_contexts, long_problem_of, problem_of
from forgetmeter.errors import UserError
from forgetmeter.models.loaded import Loaded
from forgetmeter.records.generation import GeneratedText, Generation, before_ends
from forgetmeter.records.item import (
    Answer,
    Cloze,
    ClozeAnswer,
    Item,
    Problem,
    Request,
    Requests,
    RequestScore,
    RequestScores,
    is_generated,
)
from forgetmeter.scoring.batch_invariance.limits import max_length
from forgetmeter.scoring.engine import Engine
from forgetmeter.scoring.question import Prepared
from forgetmeter.scoring.tokens.answer_tokens import has_prefix_pair
from forgetmeter.scoring.tokens.tokenization import added_tokens, beginning
from forgetmeter.specs.model_reference import ModelReference, engine_of

_LONG = 8
_PER_CALL = 256
"""Requests per call: few enough to show progress, enough for a runtime to batch."""


class Runtime(Protocol):
    """The interface of a runtime: that of lm-evaluation-harness's models (``lm_eval.api.model.LM``, 0.4.13)."""

    def loglikelihood(self, requests: list[Any]) -> list[tuple[float, bool]]:
        """Return the log-likelihood of each continuation in nats, and whether it is the greedy one.

        ``args`` of each request is its context and continuation; an empty context stands for the
        beginning-of-sequence token.
        """
        ...

    def generate_until(self, requests: list[Any]) -> list[str]:
        """Return the text after each context.

        ``args`` of each request is its context and lm-evaluation-harness's settings of generation.
        """
        ...


class ExternalEngine:
    """Scores items with another runtime, which is started on first use.

    A cloze is asked by requests: for each choice, the whole statement, or the answer after the text before the blank.
    If one answer is the beginning of another, all are followed by the text after the blank, or by the end-of-sequence
    token. What cannot be asked by requests, such as divergence, is refused by ``unsupported_reason``.

    Args:
        reference: Its name and arguments.
        start: Starts the runtime.
        baseline: The model that it is compared with, which needs no weights. Items that it cannot be asked are left
            out, and its tokenizer decides whether one answer is the beginning of another.
        stored_bytes: Bytes of the weight files that it reads, if these are known.
    """

    batch_tokens = 0
    """Another runtime chooses its batches."""

    def __init__(
        self,
        reference: ModelReference,
        start: Callable[[], Runtime],
        baseline: Loaded,
        *,
        stored_bytes: int | None = None,
    ) -> None:
        self.name = engine_of(reference)[0]
        self.stored_bytes = stored_bytes
        self._start = start
        self._baseline = Engine(baseline)
        self._max_length = max_length(baseline.model, baseline.tokenizer, baseline.name)
        self._tokenizer = tokenizer = baseline.tokenizer
        self._end = str(tokenizer.eos_token or "")

        @cache
        def have_prefix_pair(choices: tuple[str, ...], space: str) -> bool:
            texts = [f"{space}{choice}" for choice in choices]
            return has_prefix_pair([tuple(ids) for ids in tokenizer(texts, add_special_tokens=False)["input_ids"]])

        self._have_prefix_pair = have_prefix_pair
        # A statement follows the beginning-of-sequence token, even if the tokenizer does not add it.
        is_begun = bool(added_tokens(tokenizer).before)
        self._begin = "" if is_begun else str(tokenizer.decode(beginning(tokenizer), skip_special_tokens=False))

    @cached_property
    def _runtime(self) -> Runtime:
        guard_compressed_tensors()
        refusals: list[str] = []
        try:
            with quiet(), without_own_code() as refusals:
                return self._start()
        except UserError:
            raise
        except Exception as error:
            if refusals or is_about_own_code(error):
                raise UserError(
                    f"engine {self.name}: its model or tokenizer {REFUSED}; run such a model in its own server"
                ) from error
            raise UserError(f"engine {self.name} does not start: {described(error)}") from error

    def check(self, items: Iterable[Item] = ()) -> None:
        """Start the runtime, and check that its answers to test requests relate to each other as they must.

        Args:
            items: The items that it will answer. A fault may show only in texts as long as the longest of these.

        Raises:
            UserError: The runtime does not start, returns no log-likelihoods, or returns those of other tokens.
        """
        try:
            problem = problem_of(self._loglikelihoods)
            contexts = long_contexts(self._count, min(self._longest(items), self._max_length))
            if problem is None and contexts is not None:
                problem = long_problem_of(self._loglikelihoods, contexts)
        except EngineAnswerError as error:
            raise UserError(f"engine {self.name} does not give log-likelihoods: {error}") from error
        if problem is not None:
            raise UserError(f"engine {self.name}: {problem}")

    def _count(self, text: str) -> int:
        return len(self._tokenizer(text)["input_ids"])

    def _longest(self, items: Iterable[Item]) -> int:
        """Return the number of tokens of the longest text, which is one of the longest in characters."""
        texts = (text for item in items for text in self._texts_of(item))
        return max(map(self._count, nlargest(_LONG, texts, key=len)), default=0)

    def unsupported_reason(self, items: Sequence[Item]) -> str | None:
        """Return why it cannot answer a task's items, or ``None``."""
        if all(isinstance(item.asks, Requests | Cloze | Generation | Problem) for item in items):
            return None
        return "answers only multiple choice, completions, generation and facts"

    def prepare(self, items: Sequence[Item]) -> Prepared:
        """Return the items, without those that the baseline does not support."""
        return replace(self._baseline.prepare(items), batches=(), contexts=())

    def prepare_part(self, items: Sequence[Item]) -> Prepared:
        """Return some of the items of a task, without those that the baseline does not support."""
        return replace(self._baseline.prepare_part(items), batches=(), contexts=())

    def score(self, prepared: Prepared, *, on_advance: Callable[[float], None] | None = None) -> list[Answer | None]:
        """Ask the items.

        Args:
            prepared: The prepared items.
            on_advance: Called after each call of the runtime with the share of requests done, from 0 to 1.

        Returns:
            The answer to each item, in order; ``None`` for items that cannot be asked.

        Raises:
            EngineAnswerError: The runtime gave answers that are not log-likelihoods of the requests, or not texts.
        """
        asked = [item for item, reason in zip(prepared.items, prepared.reasons, strict=True) if reason is None]
        if is_generated(asked):
            texts = self._texts([item.asks for item in asked if isinstance(item.asks, Generation)], on_advance)
            written = iter(texts)
            return [None if reason is not None else next(written) for reason in prepared.reasons]
        by_item = [self._requests(item) for item in asked]
        requests = list(chain.from_iterable(by_item))
        scores: list[RequestScore] = []
        for start in range(0, len(requests), _PER_CALL):
            scores += starmap(RequestScore, self._loglikelihoods(requests[start : start + _PER_CALL]))
            if on_advance is not None:
                on_advance(len(scores) / len(requests))
        remaining = iter(scores)
        answers = (
            _answer(item, RequestScores(islice(remaining, len(own)))) for item, own in zip(asked, by_item, strict=True)
        )
        return [None if reason is not None else next(answers) for reason in prepared.reasons]

    def _texts_of(self, item: Item) -> Iterator[str]:
        match item.asks:
            case Problem():
                pass
            case Generation(context):
                yield context
            case _:
                yield from (each.context + each.continuation for each in self._requests(item))

    def _requests(self, item: Item) -> Sequence[Request]:
        match item.asks:
            case Cloze(before, after, "answers"):
                space = " " if before.endswith(" ") else ""
                follows = (after if after.strip() else self._end) if self._have_prefix_pair(item.choices, space) else ""
                return [Request(f"{self._begin}{before}", f"{choice}{follows}") for choice in item.choices]
            case Cloze() as cloze:
                return [Request("", cloze.filled(choice)) for choice in item.choices]
            case _:
                return item.requests

    def _texts(
        self, generations: Sequence[Generation], on_advance: Callable[[float], None] | None
    ) -> list[GeneratedText]:
        texts: list[GeneratedText] = []
        for start in range(0, len(generations), _PER_CALL):
            part = generations[start : start + _PER_CALL]
            # A runtime adds the end of a sequence to the list of ends that it is given.
            found = self._asked("generate_until", [(each.context, deepcopy(each.arguments)) for each in part])
            if wrong := [text for text in found if not isinstance(text, str)]:
                raise EngineAnswerError(f"it gave {wrong[0]!r:.60}, which is not a text")
            # Not every runtime obeys the ends, or writes text that can be stored.
            texts += (
                GeneratedText(encodable(before_ends(self._as_decoded(text), each.until)))
                for text, each in zip(found, part, strict=True)
            )
            if on_advance is not None:
                on_advance(len(texts) / len(generations))
        return texts

    def _as_decoded(self, text: str) -> str:
        """Return a text as the baseline's tokenizer decodes it: some leave out a space before the first token."""
        return text.removeprefix(" ") if self._drops_space else text

    @cached_property
    def _drops_space(self) -> bool:
        first, both = self._tokenizer(["a", "a a"], add_special_tokens=False)["input_ids"]
        return not self._tokenizer.decode(both[len(first) :]).startswith(" ")

    def _asked(
        self, kind: Literal["loglikelihood", "generate_until"], arguments: Sequence[tuple[Any, ...]]
    ) -> list[Any]:
        """Return one answer per request of this kind, given the arguments of each."""
        from lm_eval.api.instance import Instance

        instances = [
            Instance(request_type=kind, doc={}, arguments=each, idx=place) for place, each in enumerate(arguments)
        ]
        runtime = self._runtime
        try:
            with quiet(logging.ERROR):
                found = getattr(runtime, kind)(instances)
        except Exception as error:
            raise EngineAnswerError(described(error)) from error
        if found is None or len(found) != len(arguments):
            raise EngineAnswerError(f"it gave {len(found or ())} answers to {len(arguments)} requests")
        return list(found)

    def _loglikelihoods(self, requests: Sequence[Request]) -> list[tuple[float, bool]]:
        found = self._asked("loglikelihood", [(each.context, each.continuation) for each in requests])
        answers = [(float(value), bool(is_greedy)) for value, is_greedy in found]
        # Kernels round: a probability of 1 may be a little more.
        if wrong := next((value for value, _ in answers if value > 1e-2), None):
            raise EngineAnswerError(f"it gave a log-likelihood of {wrong:.4g}, but none can be above 0")
        return [(min(value, 0.0) if not math.isnan(value) else value, is_greedy) for value, is_greedy in answers]


def _answer(item: Item, own: RequestScores) -> Answer:
    if len(own) > 1 and all(score.loglikelihood == 0.0 for score in own):
        raise EngineAnswerError(
            f"it gave every choice of item '{item.id}' the probability 1, as if it truncated the end of each request; "
            "check its maximum length"
        )
    if isinstance(item.asks, Cloze):
        return ClozeAnswer(tuple(score.loglikelihood for score in own))
    return own

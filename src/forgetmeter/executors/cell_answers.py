"""The answers of a cell so far, and what is stored with them."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from numbers import Real

from forgetmeter.errors import UserError
from forgetmeter.records.item import Answer, Task, judged, not_numbers
from forgetmeter.records.outcome import Judgement, Outcome
from forgetmeter.records.stop_rule import StopRule
from forgetmeter.runs.stored import CellFacts
from forgetmeter.scoring.arithmetic import operations
from forgetmeter.scoring.question import Prepared
from forgetmeter.specs.role import Matrix


class NotNumbersError(ArithmeticError):
    """All answers of a model are NaN or infinite, as when compression has broken it."""


class CellAnswers:
    """The answers to the items of a task that have been asked so far, part by part."""

    def __init__(self, task: Task) -> None:
        self._task = task
        self._answers: list[Answer | None] = [None] * len(task.items)
        self._parts: list[Prepared] = []
        self._asked = 0
        self._tokens = 0
        self._seconds = self._prepare_seconds = self._judge_seconds = 0.0

    def add(
        self,
        places: Sequence[int],
        prepared: Prepared,
        answers: Sequence[Answer | None],
        *,
        seconds: float,
        before: float,
    ) -> None:
        """Add the answers to the items at these places, which took this many seconds, and others to prepare."""
        for place, answer in zip(places, answers, strict=True):
            self._answers[place] = answer
        self._parts.append(prepared)
        self._asked += len(places)
        self._tokens += prepared.tokens_of(answers)
        self._seconds += seconds
        self._prepare_seconds += before

    @property
    def share(self) -> float:
        """Share of the task's items asked so far."""
        return self._asked / max(len(self._answers), 1)

    def outcomes(self) -> Sequence[Outcome]:
        """Return the outcomes so far, which may all be of answers that are not numbers."""
        return judged(self._task, self._answers).outcomes

    def judgement(self) -> Judgement:
        """Judge the answers.

        Raises:
            NotNumbersError: None of them is a number.
            UserError: The task returned a metric that is not a number.
        """
        broken, scored = not_numbers(self._answers)
        if scored and broken == scored:
            raise NotNumbersError(f"the scores of all {scored} answers are NaN or infinite, as the model's logits are")
        start = time.perf_counter()
        judgement = judged(self._task, self._answers)
        self._judge_seconds = time.perf_counter() - start
        for name, value in judgement.metrics.items():
            if not _fits_float(value):
                raise UserError(
                    f"task '{self._task.description.name}' returned {value!r:.40} as its metric '{name}', which is not "
                    "a number that fits a float"
                )
        return judgement

    def facts(
        self,
        judgement: Judgement,
        *,
        items_hash: str | None,
        calibration: Mapping[str, str | int] | None,
        stop: StopRule | None,
        margin: float | None,
        is_timed: bool,
        matrices: Sequence[Matrix] | None,
        computed_on: str | None,
    ) -> CellFacts:
        """Return the facts to store with the outcomes.

        Args:
            items_hash: Hash of the task's items.
            calibration: The calibration text, if the recipe needs one.
            stop: If asking stopped early, what was known.
            margin: If asking could stop early, the margin of the rule, if it had one.
            is_timed: Whether the time is that of all of the variant's computation.
            matrices: The model's weight matrices; ``None`` if another runtime answers, or if layers share some.
            computed_on: The hardware; ``None`` if another runtime answers.
        """
        dropped: Counter[str] = Counter()
        named: dict[str, str] = {}
        for part in self._parts:
            dropped.update(part.dropped)
            named = part.first_dropped() | named
        needed = [None if matrices is None else operations(matrices, part) for part in self._parts]
        return CellFacts(
            seconds=self._seconds,
            tokens=self._tokens,
            batches=sum(len(part.batches) + len(part.contexts) for part in self._parts),
            metrics=dict(judgement.metrics),
            dropped=dict(dropped),
            left_out=named,
            cut=sum(part.cut for part in self._parts),
            not_numbers=not_numbers(self._answers)[0],
            items_hash=items_hash,
            judging=self._task.description.judging,
            calibration=calibration,
            precision=None if stop is None else stop.precision,
            margin=margin,
            checks=None if stop is None or stop.margin is None else stop.checks,
            prepare_seconds=self._prepare_seconds,
            judge_seconds=self._judge_seconds,
            positions=sum(part.positions for part in self._parts),
            operations=None if None in needed else sum(each for each in needed if each is not None),
            computed_on=computed_on,
            timed=is_timed and stop is None,
        )


def _fits_float(value: object) -> bool:
    """Whether a value of a plug-in is a number that can be stored."""
    try:
        return isinstance(value, Real) and isinstance(float(value), float)
    except OverflowError:
        return False

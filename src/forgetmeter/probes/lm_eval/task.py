"""lm-evaluation-harness tasks: its definitions, prompts and metrics with our own scoring."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

from forgetmeter.basics.quiet import quiet
from forgetmeter.errors import UserError, one_line, refuse
from forgetmeter.probes.lm_eval.documents import Document, documents
from forgetmeter.probes.lm_eval.fetched_code import without_fetched_code
from forgetmeter.probes.lm_eval.few_shot import set_num_fewshot
from forgetmeter.probes.lm_eval.generated import (
    filter_remarks,
    filtered,
    made_up_answers,
    refuse_unanswerable,
    targets,
)
from forgetmeter.probes.lm_eval.index import GENERATED, SUPPORTED, not_supported, task_files
from forgetmeter.probes.lm_eval.judging import (
    Answered,
    deciding_metric,
    generated_outcome,
    is_measured,
    judging_of,
    lower_is_better,
    measured,
    primary_metric,
    request_outcome,
)
from forgetmeter.probes.lm_eval.loaded_task import loaded_task
from forgetmeter.probes.lm_eval.own_folders import without_foreign_code
from forgetmeter.probes.lm_eval.prompting import PLAIN, Prompting
from forgetmeter.records.generation import GeneratedText
from forgetmeter.records.item import Answer, Item, RequestScore, RequestScores, TaskDescription
from forgetmeter.records.outcome import Judgement, Outcome
from forgetmeter.specs.yaml_lines import duplicate_keys

_TRIED = 64
"""Documents of which several made-up answers are judged."""


class LmEvalTask:
    """A task defined by lm-evaluation-harness.

    Args:
        name: Its name in lm-evaluation-harness.
        limit: Only the first N documents; ``None`` for all.
        prompting: How documents become prompts.
        own: The file that defines it, unless it is one of lm-eval's own.

    Attributes:
        items: The items, in official order.

    Raises:
        UserError: The task is of a kind that is not supported, such as one that samples answers, its data is not
            available, it has too few examples, or no document can be asked.
    """

    def __init__(
        self, name: str, *, limit: int | None = None, prompting: Prompting = PLAIN, own: Path | None = None
    ) -> None:
        self._name = name
        self._made = partial(LmEvalTask, name, limit=limit, prompting=prompting, own=own)
        if own is not None:
            # lm-eval takes the last one.
            refuse(duplicate_keys(own.read_text(encoding="utf-8", errors="replace"), str(own)))
        with without_fetched_code(name):
            self._prepare(limit, prompting, own)

    def _prepare(self, limit: int | None, prompting: Prompting, own: Path | None) -> None:
        name = self._name
        with without_foreign_code(name, is_own=own is not None):
            self._task = loaded_task(name, own or task_files()[name])
        if self._task.OUTPUT_TYPE not in SUPPORTED:
            raise UserError(not_supported(name, self._task.OUTPUT_TYPE))
        if self._is_generated:
            refuse_unanswerable(self._task, name)
        remarks = set_num_fewshot(self._task, name, prompting.num_fewshot)
        remarks += filter_remarks(self._task, name) if self._is_generated else ()
        self._documents = documents(self._task, name, limit, prompting)
        self.items = [each.item for each in self._documents]
        metrics = list(self._task.aggregation())
        if not metrics:
            raise UserError(f"task '{name}' has no metric; name one in its metric_list, such as acc")
        self._lower = lower_is_better(self._task.higher_is_better())
        self._primary = primary_metric(metrics, self._lower)
        self._is_measured = False
        self._try(metrics)
        self.description = TaskDescription(
            name=name,
            version=str(self._task.VERSION),
            source=f"lm-eval {version('lm_eval')}" + ("" if own is None else f", {own.name}"),
            primary_metric=self._primary,
            official_size=len(self._task.eval_docs),
            judging="" if own is None else judging_of(self._task),
            remarks=remarks,
            answer_filter=str(self._task._filters[0].name) if self._is_generated else "",
        )

    def __reduce__(self) -> tuple[Callable[[], LmEvalTask], tuple[()]]:
        """Another process reads the documents anew; lm-eval's functions cannot be sent."""
        return self._made, ()

    def judge(self, answers: Sequence[Answer | None]) -> Judgement:
        """Judge the answered items with lm-eval's ``process_results`` and aggregate with its metrics.

        A task whose primary metric is a number other than 0 or 1, such as a probability, or is better if lower, is
        measured.
        An item whose scores are not numbers (see ``Answer``) is judged as if the right answer had been ruled out.
        """
        collected: dict[str, list[Any]] = {}
        outcomes = []
        with quiet(), without_fetched_code(self._name):
            for document, answer, results in self._results(answers):
                metrics = self._task.process_results(document.doc, results)
                for name, value in metrics.items():
                    collected.setdefault(name, []).append(value)
                outcomes.append(self._outcome(document, answer, results, metrics))
            aggregation = self._task.aggregation()
            totals = {
                name: float(aggregation[name](values)) for name, values in collected.items() if name in aggregation
            }
        return Judgement(tuple(outcomes), totals)

    @property
    def _is_generated(self) -> bool:
        return bool(self._task.OUTPUT_TYPE == GENERATED)

    def _results(self, answers: Sequence[Answer | None]) -> Iterator[tuple[Document, Answer, list[Any]]]:
        """Yield the documents that were answered, each with what lm-eval's ``process_results`` gets."""
        pairs = zip(self._documents, answers, strict=True)
        answered = [(document, answer) for document, answer in pairs if answer is not None]
        if self._is_generated:
            texts = [_text(answer) for _, answer in answered]
            said = filtered(self._task, [document.doc for document, _ in answered], texts)
            for (document, answer), each in zip(answered, said, strict=True):
                yield document, answer, [each]
            return
        for document, answer in answered:
            if isinstance(answer, RequestScores):
                scores = answer if answer.is_number else _ruled_out(document.item, answer)
                yield document, answer, [(score.loglikelihood, score.is_greedy) for score in scores]

    def _try(self, metrics: Sequence[str]) -> None:
        """Compute the metrics of made-up answers, to learn which values they take.

        Raises:
            UserError: A metric cannot be computed on these documents, such as F1 of 3 choices.
        """
        try:
            if self._is_generated:
                self._try_texts(metrics)
            else:
                self._is_measured = self._measures()
        except UserError:
            raise
        except Exception as error:
            raise UserError(
                f"task '{self._name}': its metrics cannot be computed ({type(error).__name__}: {one_line(error)}); "
                "correct the metric_list of its definition, or choose another task"
            ) from error

    def _measures(self) -> bool:
        """Return whether the primary metric measures answers to made-up scores."""
        made_up = [
            # Whole nats could make a share look like 0 or 1.
            RequestScores(RequestScore(-1.0 - place / 3, is_greedy=False) for place in range(len(item.requests)))
            if item.problem is None
            else None
            for item in self.items
        ]
        outcomes = self.judge(made_up).outcomes
        if self._primary in self._lower:
            return True
        return is_measured(each.metrics[self._primary] for each in outcomes if self._primary in each.metrics)

    def _try_texts(self, metrics: Sequence[str]) -> None:
        """Judge made-up texts, which shows the values of the metrics and how the right answers are filtered."""
        asked = [document for document in self._documents if document.item.problem is None]
        right = {document.item.id: targets(self._task, document.doc) for document in asked}
        self._gold = {item_id: " / ".join(each) for item_id, each in right.items()}
        tried = []
        for place in range(len(made_up_answers(()))):
            # That all metrics can be computed is seen from the right answers.
            chosen = {document.item.id for document in (asked[:_TRIED] if place else asked)}
            texts = [made_up_answers(right.get(item.id, ()))[place] for item in self.items]
            answers = [
                GeneratedText(text) if item.id in chosen else None for item, text in zip(self.items, texts, strict=True)
            ]
            tried.append(self.judge(answers).outcomes)
        single = [outcome.metrics for outcomes in tried for outcome in outcomes]
        self._primary, self._is_measured = deciding_metric(metrics, single, self._lower)
        for outcome in tried[0]:
            # For example, the number at the end of a worked solution.
            if len(right[outcome.item_id]) == 1 and outcome.metrics.get(self._primary) == 1 and outcome.prediction:
                self._gold[outcome.item_id] = outcome.prediction

    def _outcome(
        self, document: Document, answer: Answer, results: Sequence[Any], metrics: Mapping[str, Any]
    ) -> Outcome:
        numbers = {name: float(value) for name, value in metrics.items() if isinstance(value, (int, float))}
        if isinstance(answer, RequestScores):
            is_completion = self._task.OUTPUT_TYPE == "loglikelihood"
            outcome = request_outcome(
                document.item, answer, numbers, primary=self._primary, is_completion=is_completion
            )
        else:
            said = Answered(_text(answer), results[0])
            gold = self._gold[document.item.id]
            outcome = generated_outcome(document.item.id, said, gold, numbers, primary=self._primary)
        return measured(outcome) if self._is_measured else outcome


def _text(answer: object) -> str:
    """Return the text that a model wrote; none if its logits were not numbers."""
    return answer.text if isinstance(answer, GeneratedText) and answer.is_number else ""


def _ruled_out(item: Item, answer: Sequence[RequestScore]) -> list[RequestScore]:
    """Return scores with probability 0 for right answers and 1 for all others."""
    return [RequestScore(-math.inf if place in item.gold else 0.0, is_greedy=False) for place in range(len(answer))]

"""A task of lm-evaluation-harness: its definition, prompts and metrics; the scoring is ours."""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import logging
from collections.abc import Iterator, Mapping, Sequence
from importlib.metadata import version
from typing import Any

from forgetmeter.errors import UserError
from forgetmeter.probes.lm_eval_index import task_files
from forgetmeter.records.item import Answer, ClozeAnswer, Item, Request, RequestScore, TaskDescription, TextAnswer
from forgetmeter.records.outcome import Judgement, Outcome

_SCORED = ("multiple_choice", "loglikelihood")
_PRIMARY = ("acc", "exact_match", "acc_norm")
# lm-eval's own default for drawing examples (simple_evaluate's fewshot_random_seed).
_FEWSHOT_SEED = 1234


class LmEvalTask:
    """A task whose definition is lm-evaluation-harness's.

    Args:
        name: The name it has there.
        limit: Only the first so many items; ``None`` for all.

    Raises:
        UserError: The task is not scored by log-likelihoods, or its data cannot be had.
    """

    def __init__(self, name: str, *, limit: int | None = None) -> None:
        self._task = _load(name)
        if self._task.OUTPUT_TYPE not in _SCORED:
            raise UserError(
                f"task '{name}' is scored by {self._task.OUTPUT_TYPE}; this version scores {' and '.join(_SCORED)}"
            )
        self._docs: list[Any] = []
        self._items: list[Item] = []
        for index, (doc, requests) in enumerate(_documents(self._task, limit)):
            self._docs.append(doc)
            self._items.append(self._item(f"{name}/{index}", doc, requests))
        metrics = list(self._task.aggregation())
        self._primary = next((metric for metric in _PRIMARY if metric in metrics), metrics[0])
        self._description = TaskDescription(
            name=name,
            version=str(self._task.VERSION),
            source=f"lm-eval {version('lm_eval')}",
            primary_metric=self._primary,
            official_size=len(self._task.eval_docs),
        )

    @property
    def description(self) -> TaskDescription:
        """What the task is."""
        return self._description

    @property
    def items(self) -> Sequence[Item]:
        """The items, in official order."""
        return self._items

    def judge(self, answers: Sequence[Answer | None]) -> Judgement:
        """Judge the answered items by lm-eval's own ``process_results`` and aggregate by its own metrics."""
        collected: dict[str, list[Any]] = {}
        outcomes = []
        for item, doc, answer in zip(self._items, self._docs, answers, strict=True):
            if answer is None or isinstance(answer, (ClozeAnswer, TextAnswer)):
                continue
            results = [(score.loglikelihood, score.is_greedy) for score in answer]
            metrics = self._task.process_results(doc, results)
            for name, value in metrics.items():
                collected.setdefault(name, []).append(value)
            outcomes.append(self._outcome(item, answer, metrics))
        aggregation = self._task.aggregation()
        totals = {name: float(aggregation[name](values)) for name, values in collected.items() if name in aggregation}
        return Judgement(tuple(outcomes), totals)

    def _item(self, item_id: str, doc: Any, requests: tuple[Request, ...]) -> Item:  # noqa: ANN401 - lm-eval's
        choices, gold = _choices(self._task, doc, requests)
        content = json.dumps([[[r.context, r.continuation] for r in requests], choices, gold], ensure_ascii=False)
        digest = hashlib.sha256(content.encode()).hexdigest()[:16]
        return Item(item_id, digest, requests, choices, gold)

    def _outcome(self, item: Item, answer: Sequence[RequestScore], metrics: Mapping[str, Any]) -> Outcome:
        values = [score.loglikelihood for score in answer[: len(item.choices)]]
        numbers = {name: float(value) for name, value in metrics.items() if isinstance(value, (int, float))}
        if self._task.OUTPUT_TYPE == "loglikelihood":
            hit = answer[0].is_greedy
            prediction, rank, margin = item.choices[0] if hit else "", None, None
        else:
            best = values.index(max(values))
            hit, prediction = best in item.gold, item.choices[best]
            rank, margin = _rank_and_margin(values, item.gold)
        primary = numbers.get(self._primary)
        return Outcome(
            item_id=item.id,
            correct=hit if primary not in (0.0, 1.0) else primary == 1.0,
            prediction=prediction,
            gold=item.choices[item.gold[0]] if item.gold else "",
            rank=rank,
            margin=margin,
            loglikelihoods=tuple(values),
            metrics=numbers,
        )


def _rank_and_margin(values: Sequence[float], gold: Sequence[int]) -> tuple[int | None, float | None]:
    if not gold:
        return None, None
    best = max(gold, key=lambda index: (values[index], -index))
    others = [index for index in range(len(values)) if index not in gold]
    # Ties in the order of the choices, as for the prediction.
    rank = 1 + sum((values[index], -index) > (values[best], -best) for index in others)
    return rank, values[best] - max(values[index] for index in others) if others else None


def _load(name: str) -> Any:  # noqa: ANN401 - lm-eval's task class is not typed
    with _quiet():
        from lm_eval.tasks import TaskManager

        try:
            loaded = TaskManager(include_defaults=False).load([str(task_files()[name])])
        except Exception as error:  # lm-eval and datasets raise anything here, from ValueError to ConnectionError
            cause = " ".join(str(error).split())[:300] or type(error).__name__
            if not isinstance(error, OSError):
                raise UserError(f"task '{name}' cannot be made: {type(error).__name__}: {cause}") from error
            raise UserError(
                f"task '{name}': its data set is neither in the local cache of the datasets library nor to be "
                f"fetched ({cause}); run once with a network, or set HF_DATASETS_CACHE to a folder that holds it"
            ) from error
    task = loaded["tasks"][name]
    task.set_fewshot_seed(seed=_FEWSHOT_SEED)
    return task


def _documents(task: Any, limit: int | None) -> Iterator[tuple[Any, tuple[Request, ...]]]:  # noqa: ANN401
    """Yield each document with its requests, as lm-eval builds them."""
    with _quiet():
        task.build_all_requests(limit=limit)
    by_document: dict[int, list[Any]] = {}
    for instance in task.instances:
        by_document.setdefault(instance.doc_id, []).append(instance)
    for document in sorted(by_document):
        instances = sorted(by_document[document], key=lambda instance: instance.idx)
        yield instances[0].doc, tuple(Request(*instance.args) for instance in instances)


def _choices(task: Any, doc: Any, requests: Sequence[Request]) -> tuple[tuple[str, ...], tuple[int, ...]]:  # noqa: ANN401
    if task.OUTPUT_TYPE == "loglikelihood":
        return (requests[0].continuation,), (0,)
    choices = tuple(str(choice) for choice in task.doc_to_choice(doc))
    gold = task.doc_to_text(doc) if task.multiple_input else task.doc_to_target(doc)
    answers = gold if isinstance(gold, list) else [gold]
    indices = [choices.index(answer) if isinstance(answer, str) else int(answer) for answer in answers]
    return choices, tuple(index for index in indices if 0 <= index < len(choices))


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep the libraries' notes and progress bars off the terminal, where only our own lines belong."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with contextlib.redirect_stderr(io.StringIO()), contextlib.redirect_stdout(io.StringIO()):
            yield
    finally:
        logging.disable(before)

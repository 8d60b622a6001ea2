"""A task in the logs of several variants, as items and outcomes."""

from __future__ import annotations

import ast
import hashlib
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

from forgetmeter.importing.lm_eval.right_choices import right_choices
from forgetmeter.importing.lm_eval.samples import RequestKind, Sample
from forgetmeter.probes.lm_eval.documents import generation_hash, requests_hash
from forgetmeter.probes.lm_eval.judging import (
    Answered,
    generated_outcome,
    is_measured,
    measured,
    primary_metric,
    request_outcome,
)
from forgetmeter.records.generation import Generation
from forgetmeter.records.item import Item, Request, Requests, WholeText
from forgetmeter.records.outcome import Judgement, Outcome

_MUTUAL_INFORMATION = "acc_mutual_info"
_PERPLEXITY = "perplexity"
_BITS = "bits_per_byte"
Key = tuple[str, int]


@dataclass(frozen=True)
class TaskForm:
    """Task settings that the samples do not contain.

    Attributes:
        delimiter: What precedes each choice in its continuation.
        shots: Number of examples in each context; ``None`` if unknown.
        shot_delimiter: What separates them.
        metric: The metric that decides what is right, if chosen.
    """

    name: str
    delimiter: str
    shots: int | None
    shot_delimiter: str
    metric: str | None = None


@dataclass(frozen=True)
class JudgedTask:
    """A task's items and, for each variant, its outcomes.

    Attributes:
        items: The baseline's.
        judgements: One per variant, of those items that it answered.
        not_numbers: Likewise, the number of answers that were NaN or infinite.
        primary: The metric that decides what is right.
    """

    items: tuple[Item, ...]
    judgements: tuple[Judgement, ...]
    not_numbers: tuple[int, ...]
    primary: str


def judged_task(form: TaskForm, variants: Sequence[Mapping[Key, Sample]]) -> JudgedTask | None:
    """Judge the samples of a task as lm-eval did; ``None`` if it has no metric for single documents.

    Args:
        variants: The samples of the baseline, then of each candidate that answered the task, by document and in the
            task's order; of the candidates only those that the baseline also has.
    """
    kind = next(iter(variants[0].values())).kind
    asked = _items(form, kind, variants)
    if kind == "loglikelihood_rolling":
        primary = "word_perplexity"
        found = [[_measured(asked[key], sample) for key, sample in each.items()] for each in variants]
    else:
        primary, is_judged = _primary(form, kind, variants)
        if not primary:
            return None
        judge = _generated if kind == "generate_until" else _scored
        found = [[judge(asked[key], sample, primary) for key, sample in each.items()] for each in variants]
        if not is_judged:
            found = [[(measured(outcome), broken) for outcome, broken in each] for each in found]
    outcomes = [tuple(outcome for outcome, _ in each) for each in found]
    return JudgedTask(
        items=tuple(_stored(item) for item in asked.values()),
        judgements=tuple(Judgement(each, _totals(kind, each)) for each in outcomes),
        not_numbers=tuple(sum(broken for _, broken in each) for each in found),
        primary=primary,
    )


def _primary(form: TaskForm, kind: RequestKind, variants: Iterable[Mapping[Key, Sample]]) -> tuple[str, bool]:
    """Return the main metric, and whether it decides what is right, as it is 0 or 1 throughout."""
    samples = [sample for each in variants for sample in each.values()]
    values = {name: [each.metrics.get(name) for each in samples] for name in samples[0].metrics}
    numbers = {name: [each for each in found if isinstance(each, (int, float))] for name, found in values.items()}
    names = [name for name, found in numbers.items() if len(found) == len(samples)]
    binary = [name for name in names if not is_measured(numbers[name])]
    if form.metric in names:
        chosen = str(form.metric)
    elif kind == "generate_until":
        chosen = primary_metric(binary or names) if names else ""
    else:
        chosen = primary_metric(list(values)) if values else ""
    # Of scores, a metric without numbers, such as F1, is that of the likeliest choices.
    return chosen, not is_measured(numbers.get(chosen, ()))


def _items(form: TaskForm, kind: RequestKind, variants: Sequence[Mapping[Key, Sample]]) -> dict[Key, Item]:
    baseline = variants[0]
    if kind == "multiple_choice":
        choices = {key: _choices(form, sample) for key, sample in baseline.items()}
        gold = right_choices(variants, choices)
        return {key: _choosing(form, sample, choices[key], gold[key]) for key, sample in baseline.items()}
    make = {"loglikelihood": _completing, "generate_until": _writing, "loglikelihood_rolling": _reading}[kind]
    return {key: make(form, sample) for key, sample in baseline.items()}


def _id(form: TaskForm, sample: Sample) -> str:
    return f"{form.name}/{sample.doc_id}"


def _requests(sample: Sample) -> Requests:
    return Requests(Request(str(each[0]), str(each[1])) for each in sample.requests)


def _choices(form: TaskForm, sample: Sample) -> tuple[str, ...]:
    requests = sample.requests
    if _MUTUAL_INFORMATION in sample.metrics and all(not each[0] for each in requests[len(requests) // 2 :]):
        # The second half asks for the choices without the question.
        requests = requests[: len(requests) // 2]
    if len({each[1] for each in requests}) == 1 < len({each[0] for each in requests}):
        # The choices are beginnings of one sentence.
        return tuple(_question(form, str(each[0])) for each in requests)
    continuations = [str(each[1]) for each in requests]
    if all(each.startswith(form.delimiter) for each in continuations):
        return tuple(each.removeprefix(form.delimiter) for each in continuations)
    return tuple(continuations)


def _choosing(form: TaskForm, sample: Sample, choices: tuple[str, ...], gold: tuple[int, ...]) -> Item:
    requests = _requests(sample)
    return Item(_id(form, sample), requests_hash(requests, choices, gold), _shown(form, requests), choices, gold)


def _completing(form: TaskForm, sample: Sample) -> Item:
    requests = _requests(sample)
    choices = (requests[0].continuation,)
    return Item(_id(form, sample), requests_hash(requests, choices, (0,)), _shown(form, requests), choices, (0,))


def _writing(form: TaskForm, sample: Sample) -> Item:
    ((context, arguments),) = sample.requests
    asks = Generation(_question(form, str(context)), arguments)
    return Item(_id(form, sample), generation_hash(sample.requests, sample.target), asks)


def _reading(form: TaskForm, sample: Sample) -> Item:
    text = str(sample.requests[0][0])
    return Item(_id(form, sample), _hash(text), WholeText(text))


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()[:16]


def _shown(form: TaskForm, requests: Iterable[Request]) -> Requests:
    """Return requests without the examples that precede the question, which are the same text many times over."""
    return Requests(Request(_question(form, each.context), each.continuation) for each in requests)


def _question(form: TaskForm, context: str) -> str:
    return context.rpartition(form.shot_delimiter)[2] if form.shots and form.shot_delimiter else context


def _stored(item: Item) -> Item:
    """Return an item as it is stored: without right choices, guessing is undefined, and so are the choices."""
    return item if item.gold else replace(item, choices=())


def _scored(item: Item, sample: Sample, primary: str) -> tuple[Outcome, bool]:
    answer, numbers = sample.scores, _numbers(sample)
    if not answer.is_number:
        # The largest of them is none of the choices, whatever the log says.
        numbers = {name: 0.0 if value in (0.0, 1.0) else value for name, value in numbers.items()}
    outcome = request_outcome(item, answer, numbers, primary=primary, is_completion=len(sample.requests) == 1)
    return outcome, not answer.is_number


def _numbers(sample: Sample) -> dict[str, float]:
    return {name: float(value) for name, value in sample.metrics.items() if isinstance(value, (int, float))}


def _generated(item: Item, sample: Sample, primary: str) -> tuple[Outcome, bool]:
    answer = Answered(str(sample.responses[0]), sample.filtered[0] if sample.filtered else "")
    return generated_outcome(item.id, answer, _targets(sample.target), _numbers(sample), primary=primary), False


def _targets(target: str) -> str:
    if target.startswith("["):
        with suppress(ValueError, SyntaxError, MemoryError, RecursionError):
            return " / ".join(map(str, ast.literal_eval(target)))
    return target


def _measured(item: Item, sample: Sample) -> tuple[Outcome, bool]:
    assert isinstance(item.asks, WholeText)
    value = float(sample.responses[0])  # type: ignore[arg-type]
    counts = _counts(sample.metrics) or {
        "words": len(re.split(r"\s+", item.asks.text)),
        "bytes": len(item.asks.text.encode(errors="surrogatepass")),
    }
    bits = {_BITS: -value / counts["bytes"] / math.log(2)} if counts.get("bytes") else {}
    outcome = Outcome(item.id, None, "", "", None, None, (value,), {**bits, **counts})
    return outcome, not math.isfinite(value)


def _counts(metrics: Mapping[str, Any]) -> dict[str, float]:
    """Return the numbers of words and bytes that lm-eval counted; tasks may count them in their own way."""
    units = {"word_perplexity": "words", "byte_perplexity": "bytes", _BITS: "bytes"}
    return {
        units[name]: float(value[1])
        for name, value in metrics.items()
        if name in units and isinstance(value, list) and len(value) > 1 and isinstance(value[1], (int, float))
    }


def _totals(kind: RequestKind, outcomes: Sequence[Outcome]) -> dict[str, float]:
    """Return the metrics over all items, as lm-eval aggregates them."""
    if not outcomes:
        return {}
    if kind == "loglikelihood_rolling":
        total = math.fsum(each.loglikelihoods[0] for each in outcomes)
        units = {"word_perplexity": "words", "byte_perplexity": "bytes"}
        sums = {unit: sum(each.metrics.get(unit, 0.0) for each in outcomes) for unit in units.values()}
        found = {name: _exp(-total / sums[unit]) for name, unit in units.items() if sums[unit]}
        return found | ({_BITS: -total / sums["bytes"] / math.log(2)} if sums["bytes"] else {})
    names = [name for name in outcomes[0].metrics if all(name in each.metrics for each in outcomes)]
    means = {name: math.fsum(each.metrics[name] for each in outcomes) / len(outcomes) for name in names}
    if kind == "loglikelihood" and _PERPLEXITY in means:
        means[_PERPLEXITY] = _exp(-means[_PERPLEXITY])
    return means


def _exp(value: float) -> float:
    try:
        return math.exp(value)
    except OverflowError:
        return math.inf

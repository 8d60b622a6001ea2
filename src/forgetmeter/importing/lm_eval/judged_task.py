"""A task in the logs of several variants, as items and outcomes."""

from __future__ import annotations

import ast
import hashlib
import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

from forgetmeter.importing.lm_eval.left_out_documents import (
    BITS,
    UNITS,
    choosing_problems,
    counts_in,
    has_value,
    is_known_by_most,
    left_out_notes,
    uncounted,
    undecided,
)
from forgetmeter.importing.lm_eval.right_choices import right_choices
from forgetmeter.importing.lm_eval.samples import Key, RequestKind, Sample
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

_PERPLEXITY = "perplexity"


@dataclass(frozen=True)
class TaskForm:
    """Task settings that the samples do not contain.

    Attributes:
        kind: The task's output type.
        delimiter: What precedes each choice in its continuation.
        question: Returns the question in a context.
        metric: The metric that decides what is right, if chosen.
    """

    name: str
    kind: RequestKind
    delimiter: str
    question: Callable[[str], str]
    metric: str | None = None


@dataclass(frozen=True)
class JudgedTask:
    """A task's items and, for each variant, its outcomes.

    Attributes:
        items: The baseline's.
        judgements: One per variant, of those items that it answered.
        not_numbers: Likewise, the number of answers that were NaN or infinite.
        primary: The metric that decides what is right.
        notes: Likewise, sentences on documents that are left out.
    """

    items: tuple[Item, ...]
    judgements: tuple[Judgement, ...]
    not_numbers: tuple[int, ...]
    primary: str
    notes: tuple[tuple[str, ...], ...]


def judged_task(form: TaskForm, variants: Sequence[Mapping[Key, Sample]]) -> JudgedTask | None:
    """Judge the samples of a task as lm-eval did; ``None`` if it has no metric for single documents.

    Args:
        variants: The samples of the baseline, then of each candidate that answered the task, by document and in the
            task's order; of the candidates only those that the baseline also has.
    """
    kind = form.kind
    primary, is_binary = ("word_perplexity", False) if kind == "loglikelihood_rolling" else _primary(form, variants)
    if not primary:
        return None
    asked = _items(form, variants)
    reasons = _reasons(form, primary, asked, variants)
    kept = [
        {key: sample for key, sample in each.items() if key not in reasons[0] | own}
        for each, own in zip(variants, reasons, strict=True)
    ]
    judge = {"generate_until": _generated, "loglikelihood_rolling": _measured}.get(kind, _scored)
    found = [[judge(asked[key], sample, primary) for key, sample in each.items()] for each in kept]
    if not is_binary:
        found = [[(measured(outcome), broken) for outcome, broken in each] for each in found]
    outcomes = [tuple(outcome for outcome, _ in each) for each in found]
    return JudgedTask(
        items=tuple(_stored(asked[key]) for key in kept[0]),
        judgements=tuple(Judgement(each, _totals(kind, each)) for each in outcomes),
        not_numbers=tuple(sum(broken for _, broken in each) for each in found),
        primary=primary,
        notes=tuple(
            tuple(left_out_notes(form.name, each, samples)) for each, samples in zip(reasons, variants, strict=True)
        ),
    )


def _primary(form: TaskForm, variants: Sequence[Mapping[Key, Sample]]) -> tuple[str, bool]:
    """Return the main metric, empty if there is none, and whether it decides what is right: it is 0 or 1 throughout."""
    samples = [sample for each in variants for sample in each.values()]
    logged = dict.fromkeys(name for sample in variants[0].values() for name in sample.metrics)
    names = [name for name in logged if all(is_known_by_most(each.values(), name) for each in variants)]
    binary = [
        name for name in names if not is_measured(each.metrics[name] for each in samples if has_value(each, name))
    ]
    if form.metric in names:
        chosen = str(form.metric)
    else:
        candidates = binary or names if form.kind == "generate_until" else names
        chosen = primary_metric(candidates) if candidates else ""
    return chosen, chosen in binary


def _reasons(
    form: TaskForm, primary: str, items: Mapping[Key, Item], variants: Sequence[Mapping[Key, Sample]]
) -> list[dict[Key, str]]:
    """Return why documents are left out, for each variant; the baseline's reasons hold for all."""
    shared = choosing_problems(items) if form.kind == "multiple_choice" else {}
    if form.kind == "loglikelihood_rolling":
        baseline, *others = uncounted(variants)
    else:
        baseline, *others = (undecided(each, primary) for each in variants)
    reasons = shared | baseline
    return [reasons, *({key: each for key, each in other.items() if key not in reasons} for other in others)]


def _items(form: TaskForm, variants: Sequence[Mapping[Key, Sample]]) -> dict[Key, Item]:
    baseline = variants[0]
    if form.kind == "multiple_choice":
        choices = {key: _choices(form, sample) for key, sample in baseline.items()}
        gold = right_choices(variants, choices)
        return {key: _choosing(form, sample, choices[key], gold[key]) for key, sample in baseline.items()}
    make = {"loglikelihood": _completing, "generate_until": _writing, "loglikelihood_rolling": _reading}[form.kind]
    return {key: make(form, sample) for key, sample in baseline.items()}


def _id(form: TaskForm, sample: Sample) -> str:
    return f"{form.name}/{sample.doc_id}"


def _requests(sample: Sample) -> Requests:
    return Requests(Request(str(each[0]), str(each[1])) for each in sample.requests)


def _choices(form: TaskForm, sample: Sample) -> tuple[str, ...]:
    requests = sample.requests
    half = len(requests) // 2
    alone = tuple(("", *each[1:]) for each in requests[:half])
    if requests[half:] == alone != requests[:half]:
        # For acc_mutual_info, the second half asks for the choices without the question.
        requests = requests[:half]
    if len({each[1] for each in requests}) == 1 < len({each[0] for each in requests}):
        # The choices are beginnings of one sentence.
        return tuple(form.question(str(each[0])) for each in requests)
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
    context, arguments = sample.requests[0][:2]
    asks = Generation(form.question(str(context)), arguments if isinstance(arguments, dict) else {})
    return Item(_id(form, sample), generation_hash(sample.requests, sample.target), asks)


def _reading(form: TaskForm, sample: Sample) -> Item:
    text = str(sample.requests[0][0])
    return Item(_id(form, sample), _hash(text), WholeText(text))


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()[:16]


def _shown(form: TaskForm, requests: Iterable[Request]) -> Requests:
    """Return requests with nothing but the question."""
    return Requests(Request(form.question(each.context), each.continuation) for each in requests)


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


def _measured(item: Item, sample: Sample, _primary: str) -> tuple[Outcome, bool]:
    assert isinstance(item.asks, WholeText)
    value = float(sample.responses[0])  # type: ignore[arg-type]
    counts = counts_in(sample) or {
        "words": len(re.split(r"\s+", item.asks.text)),
        "bytes": len(item.asks.text.encode(errors="surrogatepass")),
    }
    bits = {BITS: -value / counts["bytes"] / math.log(2)} if counts.get("bytes") else {}
    outcome = Outcome(item.id, None, "", "", None, None, (value,), {**bits, **counts})
    return outcome, not math.isfinite(value)


def _totals(kind: RequestKind, outcomes: Sequence[Outcome]) -> dict[str, float]:
    """Return the metrics over all items, as lm-eval aggregates them."""
    if not outcomes:
        return {}
    names = [name for name in outcomes[0].metrics if all(name in each.metrics for each in outcomes)]
    if kind == "loglikelihood_rolling":
        total = _sum(each.loglikelihoods[0] for each in outcomes)
        counts = {unit: _sum(each.metrics[unit] for each in outcomes) for unit in {*UNITS.values()} & {*names}}
        rates = {unit: -total / count for unit, count in counts.items() if count}
        found = {name: _exp(rates[unit]) for name, unit in UNITS.items() if name != BITS and unit in rates}
        return found | ({BITS: rates["bytes"] / math.log(2)} if "bytes" in rates else {})
    means = {name: _sum(each.metrics[name] for each in outcomes) / len(outcomes) for name in names}
    if kind == "loglikelihood" and _PERPLEXITY in means:
        means[_PERPLEXITY] = _exp(-means[_PERPLEXITY])
    return means


def _sum(values: Iterable[float]) -> float:
    found = list(values)
    try:
        return math.fsum(found)
    except OverflowError:
        return sum(found)


def _exp(value: float) -> float:
    try:
        return math.exp(value)
    except OverflowError:
        return math.inf

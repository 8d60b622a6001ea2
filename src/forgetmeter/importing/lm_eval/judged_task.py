"""A task in the logs of several variants, as items and outcomes."""

from __future__ import annotations

import ast
import math
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

from forgetmeter.errors import UserError
from forgetmeter.importing.lm_eval.asked_items import AskedItems, TaskForm, asked_items
from forgetmeter.importing.lm_eval.left_out_documents import (
    BITS,
    UNITS,
    Reasons,
    counts_in,
    impossible,
    is_known_by_most,
    judges,
    left_out_notes,
    refuse_unusable,
    uncounted,
    undecided,
)
from forgetmeter.importing.lm_eval.samples import Key, RequestKind, Sample
from forgetmeter.probes.lm_eval.judging import (
    Answered,
    generated_outcome,
    measured,
    primary_metric,
    request_outcome,
    unplaced,
)
from forgetmeter.probes.on_text.perplexity import bits_per_byte, text_counts
from forgetmeter.records.item import Item, WholeText
from forgetmeter.records.outcome import Judgement, Outcome, measured_outcome

_PERPLEXITY = "perplexity"


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


def judged_task(form: TaskForm, variants: Sequence[Mapping[Key, Sample]], names: Sequence[str]) -> JudgedTask | None:
    """Judge the samples of a task as lm-eval did; ``None`` if it has no metric for single documents.

    Args:
        variants: The samples of the baseline, then of each candidate that answered the task, by document and in the
            task's order; of the candidates only those that the baseline also has.
        names: Their names.

    Raises:
        UserError: The metric that decides has no usable value for many documents of a variant, or it was chosen and is
            better if it is lower.
    """
    kind = form.kind
    primary, judging, passed = (
        _primary(form, variants) if kind != "loglikelihood_rolling" else ("word_perplexity", [], "")
    )
    if not primary:
        return None
    if kind != "loglikelihood_rolling":
        for name, samples in zip(names, variants, strict=True):
            refuse_unusable(form.name, primary, samples, name)
    asked = asked_items(form, variants, judging)
    reasons = _reasons(form, primary, asked, variants, is_judged=primary in judging)
    kept = [
        {key: sample for key, sample in each.items() if key not in reasons[0] and key not in own}
        for each, own in zip(variants, reasons, strict=True)
    ]
    judge = {"generate_until": _generated, "loglikelihood_rolling": _measured}.get(kind, _scored)
    found = [[judge(asked.items[key], sample, primary) for key, sample in each.items()] for each in kept]
    if primary not in judging:
        found = [[(measured(outcome), broken) for outcome, broken in each] for each in found]
    elif any(asked.notes):
        found = [[(unplaced(outcome), broken) for outcome, broken in each] for each in found]
    outcomes = [tuple(outcome for outcome, _ in each) for each in found]
    notes = [
        [note, *left_out_notes(form.name, each, samples)]
        for note, each, samples in zip(asked.notes, reasons, variants, strict=True)
    ]
    notes[0].insert(0, passed)
    return JudgedTask(
        items=tuple(_stored(asked.items[key]) for key in kept[0]),
        judgements=tuple(Judgement(each, _totals(kind, each)) for each in outcomes),
        not_numbers=tuple(sum(broken for _, broken in each) for each in found),
        primary=primary,
        notes=tuple(tuple(filter(None, each)) for each in notes),
    )


def _primary(form: TaskForm, variants: Sequence[Mapping[Key, Sample]]) -> tuple[str, list[str], str]:
    """Return the main metric, empty if there is none, and the metrics that say what is right, the main one first.

    The third value is a sentence if the main metric is not the first that the task has, else empty.
    """
    logged = dict.fromkeys(name for sample in variants[0].values() for name in sample.metrics)
    # The baseline's decide, so that a candidate's do not change what is right for the others.
    names = [name for name in logged if is_known_by_most(variants[0].values(), name)]
    judging = [name for name in names if name not in form.lower and judges(variants, name)]
    if form.metric in logged and form.metric in form.lower:
        raise UserError(
            f"--metric {form.metric}: {form.name} declares that lower is better, so 1 is not a right answer; choose "
            "another metric, or omit --metric"
        )
    if form.metric in logged:
        chosen = str(form.metric)
    else:
        candidates = judging or names if form.kind == "generate_until" else names
        chosen = primary_metric(candidates, form.lower) if candidates else ""
    usual = primary_metric(list(logged), form.lower) if logged else ""
    is_passed = chosen and form.metric != chosen and usual not in names
    few = f"{form.name}: judged by {chosen}, since few documents of the baseline have a usable value of {usual}"
    return chosen, sorted(judging, key=lambda name: name != chosen), few if is_passed else ""


def _reasons(
    form: TaskForm, primary: str, asked: AskedItems, variants: Sequence[Mapping[Key, Sample]], *, is_judged: bool
) -> Sequence[Reasons]:
    """Return why documents are left out, for each variant; the baseline's reasons hold for all."""
    if form.kind == "loglikelihood_rolling":
        unusable: Sequence[Reasons] = uncounted(variants)
    else:
        unusable = [undecided(each, primary, is_judged=is_judged) for each in variants]
    baseline, *others = (
        {**own, **each, **impossible(samples)}
        for own, each, samples in zip(asked.reasons, unusable, variants, strict=True)
    )
    return [baseline, *({key: each for key, each in other.items() if key not in baseline} for other in others)]


def _stored(item: Item) -> Item:
    """Return an item as it is stored: without right choices, guessing is undefined, and so are the choices."""
    return item if item.gold else replace(item, choices=())


def _scored(item: Item, sample: Sample, primary: str) -> tuple[Outcome, bool]:
    answer, numbers = sample.scores, _numbers(sample)
    if not answer.is_number:
        # The largest of them is not one of the choices, whatever the log says.
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
    counts = counts_in(sample) or text_counts(item.asks.text)
    bits = {BITS: bits_per_byte(value, counts["bytes"])} if counts.get("bytes") else {}
    return measured_outcome(item.id, value, {**bits, **counts}), not math.isfinite(value)


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

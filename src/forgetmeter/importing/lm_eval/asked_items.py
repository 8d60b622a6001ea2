"""The items of a task in the logs of several variants."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from forgetmeter.importing.lm_eval.contradictions import contradictions, miscounted_completions
from forgetmeter.importing.lm_eval.left_out_documents import Reasons, choosing_problems
from forgetmeter.importing.lm_eval.right_choices import right_choices
from forgetmeter.importing.lm_eval.samples import Key, RequestKind, Sample
from forgetmeter.probes.choice_problems import NO_RIGHT_CHOICE
from forgetmeter.probes.lm_eval.documents import generation_hash, requests_hash
from forgetmeter.records.generation import Generation
from forgetmeter.records.item import Item, Request, Requests, WholeText

_MUTUAL = "acc_mutual_info"


@dataclass(frozen=True)
class TaskForm:
    """Task settings that the samples do not contain.

    Attributes:
        kind: The task's output type.
        delimiter: What precedes each choice in its continuation.
        question: Returns the question in a context.
        metric: The metric that decides what is right, if chosen.
        lower: The metrics that are better if they are lower, of which 1 is not a right answer.
    """

    name: str
    kind: RequestKind
    delimiter: str
    question: Callable[[str], str]
    metric: str | None = None
    lower: frozenset[str] = frozenset()


@dataclass(frozen=True)
class AskedItems:
    """A task's items, as far as the logs show them.

    Attributes:
        items: By document.
        reasons: For each variant, why documents are left out; the baseline's reasons hold for all.
        notes: For each variant, a sentence if right and wrong do not follow from its answers; otherwise empty.
    """

    items: Mapping[Key, Item]
    reasons: tuple[Reasons, ...]
    notes: tuple[str, ...]


def asked_items(form: TaskForm, variants: Sequence[Mapping[Key, Sample]], judging: Sequence[str]) -> AskedItems:
    """Return the items of a task.

    Args:
        form: The task's settings.
        variants: The samples of each variant by document, the baseline's first.
        judging: The metrics that say which answers are right, the deciding one first.
    """
    if form.kind == "multiple_choice":
        return _choosing(form, variants, judging)
    make = {"loglikelihood": _completing, "generate_until": _writing, "loglikelihood_rolling": _reading}[form.kind]
    items = {key: make(form, sample) for key, sample in variants[0].items()}
    if form.kind != "loglikelihood" or not judging:
        return AskedItems(items, tuple({} for _ in variants), ("",) * len(variants))
    miscounted = [miscounted_completions(each, judging[0]) for each in variants]
    found = contradictions(form.name, judging[0], variants, miscounted)
    return AskedItems(items, found.reasons, found.notes)


def _choosing(form: TaskForm, variants: Sequence[Mapping[Key, Sample]], judging: Sequence[str]) -> AskedItems:
    choices = {key: _choices(form, sample) for key, sample in variants[0].items()}
    right = right_choices(variants, choices, judging)
    items = {key: _choice(form, sample, choices[key], right.gold[key]) for key, sample in variants[0].items()}
    found = contradictions(form.name, right.metric, variants, right.contradicted)
    shared = dict.fromkeys(right.missing, NO_RIGHT_CHOICE) | choosing_problems(items)
    baseline, *others = found.reasons
    return AskedItems(items, ({**baseline, **shared}, *others), found.notes)


def _id(form: TaskForm, sample: Sample) -> str:
    return f"{form.name}/{sample.doc_id}"


def _requests(sample: Sample) -> Requests:
    return Requests(Request(str(each[0]), str(each[1])) for each in sample.requests)


def _choices(form: TaskForm, sample: Sample) -> tuple[str, ...]:
    requests = sample.requests
    if _MUTUAL in sample.metrics and len(requests) % 2 == 0:
        # The second half asks for the choices without the question.
        requests = requests[: len(requests) // 2]
    if len({each[1] for each in requests}) == 1 < len({each[0] for each in requests}):
        # The choices are beginnings of one sentence.
        return tuple(form.question(str(each[0])) for each in requests)
    continuations = [str(each[1]) for each in requests]
    if all(each.startswith(form.delimiter) for each in continuations):
        return tuple(each.removeprefix(form.delimiter) for each in continuations)
    return tuple(continuations)


def _choice(form: TaskForm, sample: Sample, choices: tuple[str, ...], gold: tuple[int, ...]) -> Item:
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
    content = hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()[:16]
    return Item(_id(form, sample), content, WholeText(text))


def _shown(form: TaskForm, requests: Iterable[Request]) -> Requests:
    """Return requests with nothing but the question."""
    return Requests(Request(form.question(each.context), each.continuation) for each in requests)

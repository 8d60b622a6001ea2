"""Documents of a log that cannot be judged: they are left out, with a note."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence

from forgetmeter.basics.plural import counted, listed
from forgetmeter.errors import UserError
from forgetmeter.importing.imported_run import is_above_0
from forgetmeter.importing.lm_eval.samples import LARGEST, Key, Sample
from forgetmeter.probes.choice_problems import NO_WRONG_CHOICE, choice_problem
from forgetmeter.probes.lm_eval.judging import SHARES
from forgetmeter.records.item import Item

BITS = "bits_per_byte"
UNITS = {"word_perplexity": "words", "byte_perplexity": "bytes", BITS: "bytes"}
"""What lm-eval counts for each metric of whole texts; tasks may count in their own way."""
Reasons = Mapping[Key, str]
"""Why documents are left out."""
_MOST = 3
_FEW, _RARE = 10, 50


def has_value(sample: Sample, metric: str) -> bool:
    """Whether the log has a usable value for a metric in a document."""
    value = sample.metrics.get(metric)
    if not isinstance(value, (int, float)) or not math.isfinite(value):
        return False
    return metric not in SHARES or 0 <= value <= 1


def is_known_by_most(samples: Iterable[Sample], metric: str) -> bool:
    """Whether a metric has a usable value in most of the documents that a model answered."""
    known = [has_value(each, metric) for each in samples if _is_answered(each)]
    return 2 * sum(known) > len(known) or not known


def refuse_unusable(task: str, metric: str, samples: Mapping[Key, Sample], variant: str) -> None:
    """Check that the deciding metric has usable values in most documents of a variant.

    One document in ten, at least one, may have an invalid value, and fewer than half may have no usable value.

    Raises:
        UserError: More documents are unusable; the rest would be a sample selected by the model's answers.
    """
    answered = {key: each for key, each in samples.items() if _is_answered(each)}
    unusable = [each for each in answered.values() if not has_value(each, metric)]
    strange = [each for each in unusable if each.metrics.get(metric) is not None]
    few = max(1, len(answered) // _FEW)
    said = strange if len(strange) > few else unusable if 2 * len(unusable) >= len(answered) > 0 else []
    if said:
        first = said[0].metrics.get(metric)
        what = "no value" if first is None else f"an invalid value, such as {first!r},"
        raise UserError(
            f"task '{task}': {variant} has {what} for {metric} in {len(said):,} of its "
            f"{counted(len(answered), 'document')} ({named(task, [each.doc_id for each in said])}); choose another "
            "metric with --metric, or omit the task with --tasks"
        )


def judges(variants: Sequence[Mapping[Key, Sample]], metric: str) -> bool:
    """Return whether a metric says which answers are right: it is 0 or 1 except in a few documents, which are errors.

    A few are at most one document in ten for acc, exact_match and acc_norm, and one in fifty for metrics such as f1,
    which may well be between 0 and 1; one is always allowed.
    """
    known = [{key: each for key, each in samples.items() if has_value(each, metric)} for samples in variants]
    documents = set[Key]().union(*known)
    odd = {key for each in known for key, sample in each.items() if not _is_judged(sample, metric)}
    most = max(1, len(documents) // (_FEW if metric in SHARES else _RARE))
    return not odd or (len(odd) <= most and 2 * len(odd) < len(documents))


def undecided(samples: Mapping[Key, Sample], metric: str, *, is_judged: bool) -> Reasons:
    """Return why documents cannot be judged or measured by a metric.

    An answer whose log-likelihood is not a number counts as wrong, so it is never undecided.

    Args:
        samples: The samples of a variant by document.
        metric: The metric.
        is_judged: Whether it says which answers are right.
    """
    found = {}
    for key, each in samples.items():
        if _is_answered(each) and not has_value(each, metric):
            found[key] = f"{metric} is missing or not a usable number"
        elif _is_answered(each) and is_judged and not _is_judged(each, metric):
            found[key] = f"{metric} is neither 0 nor 1"
    return found


def impossible(samples: Mapping[Key, Sample]) -> Reasons:
    """Return why documents cannot be judged or measured, whatever their metrics are."""
    why = "a log-likelihood is above 0"
    return {key: why for key, each in samples.items() if any(map(is_above_0, each.loglikelihoods))}


def _is_judged(sample: Sample, metric: str) -> bool:
    return sample.metrics[metric] in (0, 1)


def counts_in(sample: Sample) -> dict[str, float]:
    """Return the numbers of words and bytes of a whole text that lm-eval counted."""
    values = {name: sample.metrics.get(name) for name in UNITS}
    return {
        UNITS[name]: float(value[1])
        for name, value in values.items()
        if isinstance(value, list) and len(value) > 1 and isinstance(value[1], (int, float)) and 0 < value[1] < LARGEST
    }


def uncounted(variants: Sequence[Mapping[Key, Sample]]) -> list[Reasons]:
    """Return, for each variant, why whole texts cannot be measured.

    A text lacks a count that most others have, or its words and bytes were counted differently from the baseline's.
    """
    counts = [{key: counts_in(sample) for key, sample in each.items()} for each in variants]
    numbers = Counter(unit for each in counts for own in each.values() for unit in own)
    wanted = {unit for unit, number in numbers.items() if 2 * number > sum(map(len, counts))}
    missing = "its number of words or bytes is missing or not a usable number"
    other = "its number of words or bytes differs from the baseline's"
    return [
        {
            key: other if wanted <= own.keys() else missing
            for key, own in each.items()
            if not wanted <= own.keys() or any(own[unit] != counts[0][key].get(unit, own[unit]) for unit in wanted)
        }
        for each in counts
    ]


def _is_answered(sample: Sample) -> bool:
    return not sample.scores or sample.scores.is_number


def choosing_problems(items: Mapping[Key, Item]) -> dict[Key, str]:
    """Return why multiple-choice documents cannot be judged; unknown right choices are not a reason."""
    found = {key: _choosing_problem(item.gold, item.choices) for key, item in items.items()}
    return {key: problem for key, problem in found.items() if problem is not None}


def _choosing_problem(gold: Sequence[int], choices: Sequence[str]) -> str | None:
    if len(choices) == 1:
        return NO_WRONG_CHOICE
    return choice_problem(gold, choices) if gold else None


def left_out_notes(task: str, reasons: Mapping[Key, str], samples: Mapping[Key, Sample]) -> Iterator[str]:
    """Yield a sentence for each reason for which documents of a variant are left out.

    Args:
        task: The task.
        reasons: The reasons by document.
        samples: The variant's samples, in the task's order.
    """
    by_reason: dict[str, list[int]] = {}
    for key, sample in samples.items():
        if key in reasons:
            by_reason.setdefault(reasons[key], []).append(sample.doc_id)
    for reason, ids in by_reason.items():
        yield f"{task}: {len(ids):,} of {counted(len(samples), 'document')} left out: {reason} ({named(task, ids)})"


def named(task: str, ids: Sequence[int]) -> str:
    """Return the names of the first documents of a task, and the number of others."""
    return listed([f"{task}/{each}" for each in ids], _MOST)

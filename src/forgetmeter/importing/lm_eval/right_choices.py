"""The right choices of logged multiple-choice documents, as far as the log shows them."""

from __future__ import annotations

import ast
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

from forgetmeter.importing.lm_eval.samples import Key, Sample
from forgetmeter.probes.lm_eval.judging import measures

Gold = tuple[int, ...]
_MEASURED = ("acc", "acc_norm", "acc_bytes", "acc_mutual_info")
"""Metrics that judge the choice which is largest by a known measure."""
_NEAR = 1e-6
"""Relative difference of values of which either may be the larger one after rounding."""


@dataclass(frozen=True)
class RightChoices:
    """The right choices of a task's documents.

    Attributes:
        gold: Their indices by document; empty if they are unknown.
        missing: Documents whose target is not among the choices, although the targets of most others are.
        contradicted: For each variant, documents of which the log says right where the choice that the model preferred
            is not the target, or wrong where it is.
        metric: The metric that says it; empty if none does.
    """

    gold: Mapping[Key, Gold]
    missing: frozenset[Key]
    contradicted: tuple[frozenset[Key], ...]
    metric: str

    @property
    def exceptions(self) -> int:
        """Number of documents that the reading of the targets does not fit."""
        return len(self.missing.union(*self.contradicted))


def right_choices(
    variants: Sequence[Mapping[Key, Sample]], choices: Mapping[Key, tuple[str, ...]], metrics: Iterable[str]
) -> RightChoices:
    """Return the right choices of each document.

    A log gives the target as text, which may be an index, a choice, or a list of either. The reading that fits most
    documents and agrees with what the log says about most answers is used. If both fit all of them, the right choices
    of documents of which they differ (choices that are numbers) are unknown. If neither fits, as where the choices are
    beginnings of one sentence and the target is its end, they follow from which answers were right, if that leaves only
    one.

    Args:
        variants: The samples of each variant by document.
        choices: The choices of each document.
        metrics: The metrics that are 0 or 1 for a document, the one that decides first.
    """
    measured = [metric for metric in metrics if metric in _MEASURED]
    readings = [_reading(read, variants, choices, measured) for read in (_as_indices, _as_texts)]
    best = min(readings, key=lambda each: each.exceptions)
    if not any(each.exceptions for each in readings):
        one, other = (each.gold for each in readings)
        return replace(best, gold={key: right if right == other[key] else () for key, right in one.items()})
    if 2 * len(best.missing) < len(choices):
        return best
    nothing = frozenset[Key]()
    inferred = {
        key: _inferred([each[key] for each in variants if key in each], own, measured) for key, own in choices.items()
    }
    return RightChoices(inferred, nothing, tuple(nothing for _ in variants), best.metric)


def _reading(
    read: Callable[[str, Sequence[str]], Gold],
    variants: Sequence[Mapping[Key, Sample]],
    choices: Mapping[Key, tuple[str, ...]],
    metrics: Sequence[str],
) -> RightChoices:
    gold = {key: read(variants[0][key].target, each) for key, each in choices.items()}
    return RightChoices(
        gold,
        missing=frozenset(key for key, right in gold.items() if not right),
        contradicted=tuple(
            frozenset(
                key
                for key, sample in samples.items()
                if gold[key] and _contradicts(_verdict(sample, choices[key], metrics), gold[key])
            )
            for samples in variants
        ),
        metric=metrics[0] if metrics else "",
    )


def _contradicts(verdict: tuple[Sequence[int], bool] | None, gold: Gold) -> bool:
    """Return whether a verdict is impossible, whichever of equally likely choices it is about."""
    if verdict is None:
        return False
    best, is_right = verdict
    return all((each in gold) != is_right for each in best)


def _verdict(sample: Sample, choices: Sequence[str], metrics: Sequence[str]) -> tuple[Sequence[int], bool] | None:
    """Return the choices that a model preferred, and whether the log says that it is right; ``None`` if unknown.

    There are several if their values are equal; lm-eval takes the first.
    """
    if not sample.scores.is_number:
        return None
    for metric in metrics:
        if (said := sample.metrics.get(metric)) in (0, 1):
            # The choices in the task's own words may include the delimiter, which a measure by length counts.
            continuations = [str(each[1]) for each in sample.requests[: len(choices)]]
            texts = (choices,) if metric == "acc" else (choices, continuations)
            values = [measures(each, sample.scores).get(metric) for each in texts]
            best = [_largest(each) for each in values if each is not None]
            return (best[0], bool(said)) if any(best) and best.count(best[0]) == len(values) else None
    return None


def _largest(values: Sequence[float]) -> list[int]:
    """Return the indices of the largest values."""
    # Too few for numpy to be faster.
    largest = max(values)
    return [place for place, each in enumerate(values) if math.isclose(each, largest, rel_tol=_NEAR)]


def _listed(target: str) -> list[object]:
    with suppress(ValueError, SyntaxError, MemoryError, RecursionError):
        read = ast.literal_eval(target)
        return list(read) if isinstance(read, (list, tuple)) else [read]
    return [target]


def _as_indices(target: str, choices: Sequence[str]) -> Gold:
    read = _listed(target)
    numbers = [int(each) if isinstance(each, float) and each.is_integer() else each for each in read]
    if not all(type(each) is int for each in numbers):
        return ()
    return tuple(each for each in numbers if isinstance(each, int) and 0 <= each < len(choices))


def _as_texts(target: str, choices: Sequence[str]) -> Gold:
    read: Callable[[str], list[object]] = (lambda text: [text]) if target in choices else _listed
    return tuple(choices.index(each) for each in read(target) if isinstance(each, str) and each in choices)


def _inferred(samples: Sequence[Sample], choices: Sequence[str], metrics: Sequence[str]) -> Gold:
    possible = set(range(len(choices)))
    for said in (_verdict(sample, choices, metrics) for sample in samples):
        if said is not None and len(said[0]) == 1:
            best, is_right = {*said[0]}, said[1]
            possible &= best if is_right else possible - best
    return tuple(possible) if len(possible) == 1 else ()

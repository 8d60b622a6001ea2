"""The right choices of logged multiple-choice documents, as far as the log shows them."""

from __future__ import annotations

import ast
import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress

from forgetmeter.importing.lm_eval.samples import Key, Sample
from forgetmeter.probes.lm_eval.judging import measures

Gold = tuple[int, ...]
_MEASURED = ("acc", "acc_norm", "acc_bytes", "acc_mutual_info")
"""Metrics that judge the choice which is largest by a known measure."""


def right_choices(variants: Sequence[Mapping[Key, Sample]], choices: Mapping[Key, tuple[str, ...]]) -> dict[Key, Gold]:
    """Return the indices of the right choices of each document; empty if they are unknown.

    A log gives the target as text, which may be an index, a choice, or a list of either. The first reading that fits
    all documents and agrees with what the log says of each answer counts. If none does, as where the choices are
    beginnings of one sentence and the target is its end, they follow from which answers were right, if that leaves only
    one.

    Args:
        variants: The samples of each variant by document.
        choices: The choices of each document.
    """
    for read in (_as_indices, _as_texts):
        found = {key: read(variants[0][key].target, each) for key, each in choices.items()}
        if all(found.values()) and all(_agrees(samples, found, choices) for samples in variants):
            return found
    return {key: _inferred([each[key] for each in variants if key in each], choices[key]) for key in choices}


def _verdict(sample: Sample, choices: Sequence[str]) -> tuple[int, bool] | None:
    """Return the choice that a model preferred, and whether the log says that it is right; ``None`` if unknown.

    Where accuracy is not logged, the first of lm-eval's other measures that is logged tells.
    """
    if any(math.isnan(score.loglikelihood) for score in sample.scores):
        return None
    for metric in _MEASURED:
        if (said := sample.metrics.get(metric)) in (0, 1):
            # Too few for numpy to be faster; in a tie, the first counts, as in numpy's argmax.
            values = measures(choices, sample.scores).get(metric)
            return None if values is None else (values.index(max(values)), bool(said))
    return None


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


def _agrees(samples: Mapping[Key, Sample], gold: Mapping[Key, Gold], choices: Mapping[Key, tuple[str, ...]]) -> bool:
    """Whether the logged metrics agree with the right choices, wherever they tell which choice is right."""
    verdicts = ((right, _verdict(samples[key], choices[key])) for key, right in gold.items() if key in samples)
    return all((said[0] in right) == said[1] for right, said in verdicts if said is not None)


def _inferred(samples: Sequence[Sample], choices: Sequence[str]) -> Gold:
    possible = set(range(len(choices)))
    for said in (_verdict(sample, choices) for sample in samples):
        if said is not None:
            best, is_right = said
            possible &= {best} if is_right else possible - {best}
    return tuple(possible) if len(possible) == 1 else ()

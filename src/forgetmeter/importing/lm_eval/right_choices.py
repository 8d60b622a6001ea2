"""The right choices of logged multiple-choice documents, as far as the log shows them."""

from __future__ import annotations

import ast
import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress

from forgetmeter.importing.lm_eval.samples import Sample

Gold = tuple[int, ...]
_ACC = "acc"


def right_choices(
    variants: Sequence[Mapping[tuple[str, int], Sample]], choices: Mapping[tuple[str, int], tuple[str, ...]]
) -> dict[tuple[str, int], Gold]:
    """Return the indices of the right choices of each document; empty if they are unknown.

    A log gives the target as text, which may be an index, a choice, or a list of either. The first reading that fits
    all documents and agrees with all logged accuracies counts. If none does, as where the choices are beginnings of
    one sentence and the target is its end, they follow from which answers were right, if that leaves only one.

    Args:
        variants: The samples of each variant by document.
        choices: The choices of each document.
    """
    numbers = {key: len(each) for key, each in choices.items()}
    for read in (_as_indices, _as_texts):
        found = {key: read(variants[0][key].target, each) for key, each in choices.items()}
        if all(found.values()) and all(_agrees(samples, found, numbers) for samples in variants):
            return found
    return {key: _inferred([each[key] for each in variants if key in each], len(choices[key])) for key in choices}


def likeliest(sample: Sample, choices: int) -> int | None:
    """Return the choice with the highest log-likelihood; ``None`` if one of them is not a number."""
    # Too few for numpy to be faster; in a tie, the first counts, as in numpy's argmax.
    values = [score.loglikelihood for score in sample.scores[:choices]]
    return None if any(map(math.isnan, values)) else values.index(max(values))


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


def _agrees(
    samples: Mapping[tuple[str, int], Sample],
    gold: Mapping[tuple[str, int], Gold],
    choices: Mapping[tuple[str, int], int],
) -> bool:
    """Whether the logged accuracies agree with the right choices, wherever accuracy is that of the likeliest choice."""
    for key, right in gold.items():
        if (sample := samples.get(key)) is not None and (said := sample.metrics.get(_ACC)) in (0, 1):
            best = likeliest(sample, choices[key])
            if best is not None and (best in right) != bool(said):
                return False
    return True


def _inferred(samples: Sequence[Sample], choices: int) -> Gold:
    possible = set(range(choices))
    for sample in samples:
        said, best = sample.metrics.get(_ACC), likeliest(sample, choices)
        if best is not None and said in (0, 1):
            possible &= {best} if said else possible - {best}
    return tuple(possible) if len(possible) == 1 else ()

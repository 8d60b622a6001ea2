"""Documents whose logged metric contradicts the logged answer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from forgetmeter.basics.plural import counted
from forgetmeter.importing.lm_eval.left_out_documents import Reasons, named
from forgetmeter.importing.lm_eval.samples import Key, Sample

_ACC = "acc"
_SHARE = 10


@dataclass(frozen=True)
class Contradictions:
    """The consequences of documents whose metric contradicts the answer.

    Attributes:
        reasons: For each variant, why documents are left out.
        notes: For each variant, a sentence on documents that are kept, as there are too many to be errors, if it has
            such documents; otherwise empty.
    """

    reasons: tuple[Reasons, ...]
    notes: tuple[str, ...]


def contradictions(
    task: str, metric: str, variants: Sequence[Mapping[Key, Sample]], found: Sequence[frozenset[Key]]
) -> Contradictions:
    """Return what follows from contradictions: a few are errors, and many mean that the metric is computed differently.

    Args:
        task: The task.
        metric: The metric.
        variants: The samples of each variant by document.
        found: For each variant, the documents with a contradiction.
    """
    keys = frozenset[Key]().union(*found)
    documents = variants[0]
    if len(keys) <= max(1, len(documents) // _SHARE) and 2 * len(keys) < len(documents):
        why = f"{metric} contradicts the log-likelihoods"
        return Contradictions(tuple(dict.fromkeys(each, why) for each in found), ("",) * len(variants))
    return Contradictions(
        tuple({} for _ in variants),
        tuple(_note(task, metric, samples, own) if own else "" for samples, own in zip(variants, found, strict=True)),
    )


def _note(task: str, metric: str, samples: Mapping[Key, Sample], contradicted: frozenset[Key]) -> str:
    ids = [sample.doc_id for key, sample in samples.items() if key in contradicted]
    return (
        f"{task}: {metric} does not follow from the log-likelihoods in {len(ids):,} of "
        f"{counted(len(samples), 'document')} ({named(task, ids)}); correct is as logged, and predictions, "
        "ranks and margins of all variants are unknown"
    )


def miscounted_completions(samples: Mapping[Key, Sample], metric: str) -> frozenset[Key]:
    """Return documents with a single completion that are right although it is not the likeliest, or the reverse."""
    if metric != _ACC:
        return frozenset()
    return frozenset(
        key
        for key, sample in samples.items()
        if sample.scores.is_number
        and (said := sample.metrics.get(metric)) in (0, 1)
        and bool(said) != sample.scores[0].is_greedy
    )

"""Documents whose logged metric contradicts the logged answer."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
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
        note: A sentence on documents that are kept, as there are too many for errors; otherwise empty.
    """

    reasons: tuple[Reasons, ...]
    note: str = ""


def contradictions(
    task: str, metric: str, variants: Sequence[Mapping[Key, Sample]], found: Sequence[Iterable[Key]]
) -> Contradictions:
    """Return what follows from contradictions: a few are errors, and many mean that the metric is computed otherwise.

    Args:
        task: The task.
        metric: The metric.
        variants: The samples of each variant by document.
        found: For each variant, the documents with a contradiction.
    """
    keys = {key for each in found for key in each}
    documents = variants[0]
    if len(keys) <= max(1, len(documents) // _SHARE) and 2 * len(keys) < len(documents):
        why = f"{metric} contradicts the log-likelihoods"
        return Contradictions(tuple(dict.fromkeys(each, why) for each in found))
    ids = [sample.doc_id for key, sample in documents.items() if key in keys]
    return Contradictions(
        tuple({} for _ in variants),
        f"{task}: {metric} does not follow from the log-likelihoods in {len(keys):,} of "
        f"{counted(len(documents), 'document')} ({named(task, ids)}); right and wrong are as logged, and predictions, "
        "ranks and margins are unknown",
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

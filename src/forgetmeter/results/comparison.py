"""Comparison of all variants of a model on a task with the baseline."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from forgetmeter.results.clustered import Clustered, compare_clustered
from forgetmeter.runs.content.answers import Answers
from forgetmeter.statistics.guessing import ChanceTest
from forgetmeter.statistics.paired import Estimate, Paired, accuracy, compare_paired, mcnemar_exact, proportion
from forgetmeter.statistics.resampling import hull


@dataclass(frozen=True)
class Comparison:
    """One variant on one task.

    Attributes:
        items: Number of items that it answered.
        accuracy: Share of right answers, with the Wilson interval.
        paired: Comparison with the baseline, with intervals over relations if there are enough; ``None`` for the
            baseline itself, and without a baseline.
        gained_share: Share of the baseline's wrong items that are right now; ``None`` if it had none.
        relations: Number of relations that the intervals are over; ``None`` for intervals over items.
        p_relations: t test over relations that the drop is zero; ``None`` likewise.
        rank_shift: Mean increase of the right answer's rank.
        margin_shift: Mean change of the margin, in nats.
        divergence: Mean Kullback-Leibler divergence over the choices, in nats.
        p_chance: Two-sided test that it is right as often as guessing.
        p_majority: Exact McNemar test against the majority answers.
        majority_accuracy: Accuracy of the majority answers on these items.
    """

    items: int
    accuracy: Estimate
    paired: Paired | None = None
    gained_share: Estimate | None = None
    relations: int | None = None
    p_relations: float | None = None
    rank_shift: float | None = None
    margin_shift: float | None = None
    divergence: float | None = None
    p_chance: float | None = None
    p_majority: float | None = None
    majority_accuracy: float | None = None


def compare_all(answers: Answers) -> list[Comparison | None]:
    """Compare each variant with the baseline on the items that both answered.

    Returns:
        One entry per variant, in the order of ``answers.recipes``; ``None`` if it answered nothing.
    """
    clustered = compare_clustered(answers)
    without_knowledge = _WithoutKnowledge(answers)
    return [
        _compare(answers, row, clustered[row], without_knowledge) if answers.answered[row].any() else None
        for row in range(len(answers.recipes))
    ]


class _WithoutKnowledge:
    """Comparison with guessing and with the majority answers."""

    def __init__(self, answers: Answers) -> None:
        self._answers = answers
        self._tests: dict[bytes, ChanceTest] = {}

    def compared(self, row: int) -> dict[str, float]:
        answered = self._answers.answered[row]
        right = self._answers.correct[row, answered]
        chance, majority = self._answers.chance[answered], self._answers.majority[answered]
        found = {}
        if not np.isnan(chance).any():
            # Variants usually answer the same items, so the test is prepared once.
            test = self._tests.setdefault(answered.tobytes(), ChanceTest(chance))
            found["p_chance"] = test.p_value(int(right.sum()))
        if not np.isnan(majority).any():
            named = majority > 0
            found["majority_accuracy"] = float(named.mean())
            found["p_majority"] = mcnemar_exact(
                forgotten=int((named & ~right).sum()), gained=int((~named & right).sum())
            )
        return found


def _compare(
    answers: Answers, row: int, clustered: Clustered | None, without_knowledge: _WithoutKnowledge
) -> Comparison:
    answered = answers.answered[row]
    alone = Comparison(
        items=int(answered.sum()),
        accuracy=accuracy(answers.correct[row, answered]),
        **without_knowledge.compared(row),  # type: ignore[arg-type]
    )
    paired_items = answers.paired[row]
    if row == answers.baseline or not paired_items.any():
        return alone
    return _against_baseline(alone, answers, row, clustered)


def _against_baseline(alone: Comparison, answers: Answers, row: int, clustered: Clustered | None) -> Comparison:
    items, baseline = answers.paired[row], answers.baseline
    paired = compare_paired(answers.known[items], answers.correct[row, items])
    if answers.has_predictions:
        paired = replace(paired, prediction_flips=float(answers.changed[row, items].mean()))
    unknown = paired.items - paired.known
    gained_share = proportion(paired.gained, unknown) if unknown else None
    if clustered is not None:
        paired = replace(
            paired,
            drop=hull(paired.drop, clustered.drop),
            retained=_hull(paired.retained, clustered.retained),
        )
        gained_share = _hull(gained_share, clustered.gained_share)
    return replace(
        alone,
        paired=paired,
        gained_share=gained_share,
        relations=None if clustered is None else clustered.relations,
        p_relations=None if clustered is None else clustered.p_value,
        rank_shift=_mean(answers.rank[row, items] - answers.rank[baseline, items]),
        margin_shift=_mean(answers.margin[row, items] - answers.margin[baseline, items]),
        divergence=_mean(answers.divergence[row, items]),
    )


def _hull(one: Estimate | None, other: Estimate | None) -> Estimate | None:
    return one if one is None or other is None else hull(one, other)


def _mean(values: NDArray[np.float32]) -> float | None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        mean = float(np.nanmean(values.astype(np.float64))) if len(values) else float("nan")
    return mean if np.isfinite(mean) else None

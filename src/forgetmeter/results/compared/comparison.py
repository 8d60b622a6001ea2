"""Comparison of all variants of a model on a task with the baseline."""

from __future__ import annotations

import warnings
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from forgetmeter.results.compared.cell_summary import CellSummary
from forgetmeter.results.compared.clustered import Clustered, compare_clustered
from forgetmeter.runs.content.answers import Answers
from forgetmeter.statistics.guessing import ChanceTest
from forgetmeter.statistics.paired import CONFIDENCE, Estimate, accuracy, compare_paired, mcnemar_exact, proportion
from forgetmeter.statistics.resampling import hull


def compare_all(answers: Answers, *, confidence: float = CONFIDENCE) -> list[CellSummary | None]:
    """Compare each variant with the baseline on the items that both answered, with intervals at a confidence.

    Returns:
        One entry per variant, in the order of ``answers.recipes``; ``None`` if it answered nothing. They lack what is
        stored with the cells, and what depends on the run's other cells.
    """
    clustered = compare_clustered(answers, confidence=confidence)
    without_knowledge = _WithoutKnowledge(answers)
    return [
        _compare(answers, row, clustered[row], without_knowledge, confidence) if answers.answered[row].any() else None
        for row in range(len(answers.recipes))
    ]


class _WithoutKnowledge:
    """Comparison with guessing and with the majority answers, on the items that a variant answered."""

    def __init__(self, answers: Answers) -> None:
        self._answers = answers
        self._of_items: dict[bytes, tuple[ChanceTest | None, NDArray[np.float64]]] = {}

    def compared(self, row: int) -> dict[str, float]:
        answered = self._answers.answered[row]
        right = self._answers.correct[row, answered]
        # Variants usually answer the same items.
        if (key := answered.tobytes()) not in self._of_items:
            chance = self._answers.baselines.chance[answered]
            majority = self._answers.baselines.majority(answered)[answered]
            self._of_items[key] = None if np.isnan(chance).any() else ChanceTest(chance), majority
        test, majority = self._of_items[key]
        found: dict[str, float] = {}
        if test is not None:
            found |= {"chance": test.expected, "p_chance": test.p_value(int(right.sum()))}
        if not np.isnan(majority).any():
            named = majority > 0
            found["majority_accuracy"] = float(named.mean())
            found["p_majority"] = mcnemar_exact(
                forgotten=int((named & ~right).sum()), gained=int((~named & right).sum())
            )
        return found


def _compare(
    answers: Answers, row: int, clustered: Clustered | None, without_knowledge: _WithoutKnowledge, confidence: float
) -> CellSummary:
    answered = answers.answered[row]
    alone = CellSummary(
        model=answers.model,
        recipe=answers.recipes[row],
        task=answers.task,
        items=int(answered.sum()),
        accuracy=accuracy(answers.correct[row, answered], confidence=confidence),
        **without_knowledge.compared(row),  # type: ignore[arg-type]
    )
    paired_items = answers.paired[row]
    if row == answers.baseline or not paired_items.any():
        return alone
    return _against_baseline(alone, answers, row, clustered, confidence)


def _against_baseline(
    alone: CellSummary, answers: Answers, row: int, clustered: Clustered | None, confidence: float
) -> CellSummary:
    items, baseline = answers.paired[row], answers.baseline
    paired = compare_paired(answers.known[items], answers.correct[row, items], confidence=confidence)
    unknown = paired.items - paired.known
    drop, retained = paired.drop, paired.retained
    gained_share = proportion(paired.gained, unknown, confidence=confidence) if unknown else None
    if clustered is not None:
        drop, retained = hull(drop, clustered.drop), _hull(retained, clustered.retained)
        gained_share = _hull(gained_share, clustered.gained_share)
    return replace(
        alone,
        paired=paired.items,
        drop=drop,
        p_value=paired.p_value,
        relations=None if clustered is None else clustered.relations,
        p_relations=None if clustered is None else clustered.p_value,
        retained=retained,
        forgotten=paired.forgotten,
        gained=paired.gained,
        gained_share=gained_share,
        flips=paired.flips,
        prediction_flips=float(answers.changed[row, items].mean()) if answers.has_predictions else None,
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

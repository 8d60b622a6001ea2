"""From related work: answers flip even if accuracy shows no loss."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from forgetmeter.basics.plural import counted
from forgetmeter.results.findings.effect import ClaimTest, Effect
from forgetmeter.results.findings.evidence import Evidence
from forgetmeter.results.findings.finding import Claim

THRESHOLD = 0.01

CLAIM = Claim(
    name="accuracy_hides_flips",
    sentence="Answers flip even if accuracy shows no loss.",
    source="arXiv 2407.09141",
    question="Among variants without a significant drop, do clearly more items flip than the drop accounts for?",
    test="Share of items that went from right to wrong or back, minus the size of the drop, minus the noise floor "
    "if measured; the mean over variants without a significant drop. Compared with 1 point.",
    unit="flips in excess of the drop",
    threshold=THRESHOLD,
)


def _effect(evidence: Evidence) -> Effect | str:
    answers = evidence.answers
    unclear = [recipe for recipe in answers.recipes if recipe in evidence.cells and _is_unclear(evidence, recipe)]
    if answers.baseline is None or not unclear:
        return "needs a variant without a significant drop"
    values = np.mean([_beyond_drop(evidence, answers.recipes.index(recipe)) for recipe in unclear], axis=0)
    floors = [evidence.cells[recipe].noise_floor for recipe in unclear]
    floor = max((each for each in floors if each is not None), default=0.0)
    value, draws, clusters = evidence.mean_draws(values)
    drops = [100 * abs(drop.value) for recipe in unclear if (drop := evidence.cells[recipe].drop)]
    on_average = " on average" if len(unclear) > 1 else ""
    detail = f"{counted(len(unclear), 'variant')}, whose accuracy changes by {np.mean(drops):.1f} points{on_average}"
    return Effect(value - floor, draws - floor, clusters, tuple(unclear), detail)


def _is_unclear(evidence: Evidence, recipe: str) -> bool:
    return evidence.cells[recipe].verdict == "unclear"


def _beyond_drop(evidence: Evidence, row: int) -> NDArray[np.float64]:
    """Return one value per item, whose mean is the share of flips minus the size of the drop."""
    answers = evidence.answers
    change = answers.known.astype(np.float64) - answers.correct[row]
    change[~answers.paired[row]] = np.nan
    values: NDArray[np.float64] = np.abs(change) - np.sign(np.nansum(change)) * change
    return values


TEST = ClaimTest(CLAIM, _effect, needs_knowledge=False)

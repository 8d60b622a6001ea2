"""From related work: facts about rarely mentioned subjects are forgotten first."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

from forgetmeter.basics.plural import counted
from forgetmeter.results.findings.effect import ClaimTest, Effect
from forgetmeter.results.findings.evidence import Evidence
from forgetmeter.results.findings.finding import Claim
from forgetmeter.specs.recipe import BASELINE
from forgetmeter.statistics.resampling import FEWEST_CLUSTERS, cluster_weights

FEWEST_OF_EACH = 10

CLAIM = Claim(
    name="rare_facts_first",
    sentence="Rare facts are forgotten first.",
    source="arXiv 2212.10511, 2608.19670",
    question="Of two facts of a relation that the baseline knew, is the forgotten one rarer than the kept one?",
    test="Share of all pairs of a forgotten and a kept fact of one relation in which the forgotten one is rarer (ties "
    "count half), minus one half; the mean over variants that forget and keep at least ten facts each. Intervals are "
    "over relations.",
    unit="probability",
)


def _effect(evidence: Evidence) -> Effect | str:
    answers = evidence.answers
    usable = answers.known & np.isfinite(answers.popularity) & (answers.relation >= 0)
    if not usable.any():
        return "the popularity of its subjects is not known"
    relation = np.unique(answers.relation[usable], return_inverse=True)[1]
    relations = int(relation.max()) + 1
    ranks = _ranks_within(relation, relations, answers.popularity[usable])
    found, recipes = [], []
    for row, recipe in enumerate(answers.recipes):
        answered = answers.answered[row, usable]
        kept = answers.correct[row, usable][answered]
        both = int(kept.sum()), int((~kept).sum())
        if recipe != BASELINE and min(both) >= FEWEST_OF_EACH:
            compared = _pairs(relation[answered], relations, ranks[answered], kept)
            if compared[1].any():
                found.append(compared)
                recipes.append(recipe)
    if not found:
        return f"no variant forgets and keeps at least {FEWEST_OF_EACH} facts whose popularity is known"
    wins, pairs = (np.asarray([each[side] for each in found]) for side in (0, 1))
    telling = int((pairs.sum(axis=0) > 0).sum())
    if telling < FEWEST_CLUSTERS:
        relations_with_both = counted(telling, "relation")
        return f"only {relations_with_both} of known popularity with both forgotten and kept facts; a test needs 5"
    weights = cluster_weights(relations, seed=evidence.seed)
    with np.errstate(invalid="ignore", divide="ignore"):
        draws = np.nanmean((weights @ wins.T) / (weights @ pairs.T), axis=1) - 0.5
    value = float(np.mean(wins.sum(axis=1) / pairs.sum(axis=1))) - 0.5
    return Effect(value, draws, telling, tuple(recipes), f"{int(usable.sum()):,} facts of {relations} relations")


def _ranks_within(relation: NDArray[np.int64], relations: int, popularity: NDArray[np.float64]) -> NDArray[np.float64]:
    ranks = np.empty(len(popularity))
    for each in range(relations):
        members = relation == each
        ranks[members] = rankdata(popularity[members])
    return ranks


def _pairs(
    relation: NDArray[np.int64], relations: int, ranks: NDArray[np.float64], kept: NDArray[np.bool_]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return, per relation, the number of pairs whose kept fact is the more popular one, and the number of pairs.

    The first is the Mann-Whitney U statistic, from the rank sum of the kept facts.
    """
    number_kept = np.bincount(relation, kept, minlength=relations)
    forgotten = np.bincount(relation, ~kept, minlength=relations)
    sums = np.bincount(relation, np.where(kept, ranks, 0.0), minlength=relations)
    return sums - number_kept * (number_kept + 1) / 2, (number_kept * forgotten).astype(np.float64)


TEST = ClaimTest(CLAIM, _effect)

"""The paper's fourth finding, second half: with the final layer pruned, models fall to the majority baseline."""

from __future__ import annotations

import numpy as np

from forgetmeter.basics.plural import counted
from forgetmeter.results.compared.cell_summary import SIGNIFICANT
from forgetmeter.results.findings.effect import ClaimTest, Effect
from forgetmeter.results.findings.evidence import Evidence
from forgetmeter.results.findings.finding import Claim
from forgetmeter.results.treatments import HEAD
from forgetmeter.specs.recipe import BASELINE

MARGIN = 0.02

CLAIM = Claim(
    name="final_layer_majority",
    sentence="With the final layer pruned, decoders and encoder-decoders fall to the majority baseline.",
    source="arXiv 2312.00960",
    question="With the head pruned, is the accuracy at most 2 points above that of always giving the majority answer?",
    test="Accuracy of the majority answers minus that with the head pruned, on the same items; the mean over methods "
    "and levels. Compared with -2 points. Tested only if the unpruned model is better than the majority answers.",
    unit="accuracy",
    threshold=-MARGIN,
)


def _effect(evidence: Evidence) -> Effect | str:
    pruned = [each.recipe for each in evidence.pruned if each.place == HEAD]
    if not pruned:
        return "needs pruning of the head, as in preset:paper/final_layer"
    baseline = evidence.cells[BASELINE]
    if baseline.majority_accuracy is None or baseline.p_majority is None:
        return "the task has no majority answer"
    if baseline.p_majority >= SIGNIFICANT or baseline.accuracy.value <= baseline.majority_accuracy:
        return "the baseline itself is not better than the majority answer"
    rows = [evidence.answers.recipes.index(recipe) for recipe in pruned]
    correct = np.where(evidence.answers.answered[rows], evidence.answers.correct[rows], np.nan).mean(axis=0)
    majority = evidence.answers.baselines.majority(np.isfinite(correct))
    value, draws, clusters = evidence.mean_draws(majority - correct)
    return Effect(value, draws, clusters, tuple(pruned), counted(len(pruned), "variant"))


TEST = ClaimTest(CLAIM, _effect)

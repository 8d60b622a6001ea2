"""From related work: pruning attention costs fewer facts than removing as many weights from feed-forward."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from forgetmeter.results.findings.effect import ClaimTest, Effect
from forgetmeter.results.findings.evidence import Evidence
from forgetmeter.results.findings.finding import Claim
from forgetmeter.results.retained_curve import curve_weights
from forgetmeter.results.treatments import ATTENTION, FEED_FORWARD, Treatment, curves

_POINTS = 10

CLAIM = Claim(
    name="attention_cheaper_at_equal_removed",
    sentence="Pruning attention costs less than removing as many weights from feed-forward.",
    source="arXiv 2310.04680, with equal numbers of parameters removed",
    question="At equal numbers of removed weights, is more retained if attention is pruned than if feed-forward is?",
    test="Retained with attention pruned minus retained with feed-forward pruned, at ten evenly spaced numbers of "
    "removed weights up to the largest that both curves reach, interpolated linearly between measured variants; the "
    "mean over these numbers and over methods.",
    unit="retained",
)


def _effect(evidence: Evidence) -> Effect | str:
    wanted = [each for each in evidence.pruned if evidence.removed.get(each.recipe)]
    if not wanted:
        return "needs pruning of attention and feed_forward, with removed weights counted"
    scopes: dict[tuple[str, str], dict[str, tuple[Treatment, ...]]] = {}
    for (method, _), group in curves(wanted).items():
        scopes.setdefault((method, group[0].family), {})[group[0].place] = group
    pairs = [
        (each[ATTENTION], each[FEED_FORWARD]) for each in scopes.values() if {ATTENTION, FEED_FORWARD} <= set(each)
    ]
    if not pairs:
        return "needs pruning of both attention and feed_forward by one method"
    amounts = {recipe: float(number) for recipe, number in evidence.removed.items()}
    recipes = [([each.recipe for each in one], [each.recipe for each in other]) for one, other in pairs]
    coefficients, constant, most = at_equal_amounts(recipes, amounts)
    return Effect.of(evidence, coefficients, constant, detail=f"up to {most:,.0f} weights removed")


def at_equal_amounts(
    pairs: Sequence[tuple[Sequence[str], Sequence[str]]], amounts: Mapping[str, float]
) -> tuple[Mapping[str, float], float, float]:
    """Return the mean of what one curve of each pair retains minus the other, at equal amounts of something.

    The amounts are ten evenly spaced ones, up to the largest that both curves of a pair reach.

    Args:
        pairs: The recipes of each curve.
        amounts: Amounts by recipe; the uncompressed model's is 0.

    Returns:
        Weights by recipe, a constant, and the largest amount.
    """
    coefficients: dict[str, float] = {}
    constant, most = 0.0, 0.0
    for pair in pairs:
        reach = min(max(amounts[recipe] for recipe in curve) for curve in pair)
        grid = reach * np.arange(1, _POINTS + 1) / _POINTS
        most = max(most, reach)
        for curve, sign in zip(pair, (1, -1), strict=True):
            first, weights = curve_weights({recipe: amounts[recipe] for recipe in curve}, grid)
            constant += sign * first / len(pairs)
            for recipe, weight in weights.items():
                coefficients[recipe] = coefficients.get(recipe, 0.0) + sign * weight / len(pairs)
    return coefficients, constant, most


TEST = ClaimTest(CLAIM, _effect)

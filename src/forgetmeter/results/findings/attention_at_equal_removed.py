"""From related work: pruning attention costs fewer facts than removing as many weights from feed-forward."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from forgetmeter.results.findings.effect import ClaimTest, Effect
from forgetmeter.results.findings.evidence import Evidence
from forgetmeter.results.findings.finding import Claim
from forgetmeter.results.retained_curve import interpolation_weights
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
    coefficients: dict[str, float] = {}
    constant, most = 0.0, 0.0
    for attention, feed_forward in pairs:
        reach = min(max(_removed(group, evidence)) for group in (attention, feed_forward))
        grid = reach * np.arange(1, _POINTS + 1) / _POINTS
        most = max(most, reach)
        for group, sign in ((attention, 1), (feed_forward, -1)):
            first, weights = _weights(group, grid, evidence)
            constant += sign * first / len(pairs)
            for recipe, weight in weights.items():
                coefficients[recipe] = coefficients.get(recipe, 0.0) + sign * weight / len(pairs)
    value, draws = evidence.draws.contrast(coefficients, constant)
    detail = f"up to {most:,.0f} weights removed"
    return Effect(value, draws, evidence.draws.clusters, tuple(coefficients), detail)


def _removed(group: Sequence[Treatment], evidence: Evidence) -> list[float]:
    return [float(evidence.removed[each.recipe]) for each in group]


def _weights(
    group: Sequence[Treatment], grid: NDArray[np.float64], evidence: Evidence
) -> tuple[float, Mapping[str, float]]:
    """Return the weights of the unpruned model and of each recipe in the mean of a curve over a grid."""
    first, *shares = interpolation_weights(np.asarray([0.0, *_removed(group, evidence)]), grid)
    return float(first), {each.recipe: float(share) for each, share in zip(group, shares, strict=True)}


TEST = ClaimTest(CLAIM, _effect)

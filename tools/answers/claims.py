"""Claims that the answers test, in the form in which the package tests its findings."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from evidence import Subject

from forgetmeter.results.findings.effect import ClaimTest, Effect, p_value
from forgetmeter.results.findings.finding import Verdict
from forgetmeter.results.retained_curve import interpolation_weights
from forgetmeter.statistics.correction import holm_corrected
from forgetmeter.statistics.paired import Estimate
from forgetmeter.statistics.resampling import expanded_interval

_POINTS = 10
SIGNIFICANT = 0.05


@dataclass(frozen=True)
class Question:
    """A claim that can be tested on any model.

    Attributes:
        sentence: The claim.
        effect: Returns its effect on a model, above zero if the claim holds; ``None`` if recipes are missing.
    """

    sentence: str
    effect: Callable[[Subject], Effect | None]


@dataclass(frozen=True)
class Tested:
    """A claim tested on a model; everything is ``None`` if it was not."""

    sentence: str
    label: str
    effect: Estimate | None = None
    p_value: float | None = None
    verdict: Verdict = "not tested"


def difference(pairs: Sequence[tuple[str, str]]) -> Callable[[Subject], Effect | None]:
    """Retained under the first recipe minus under the second; the mean over the pairs that a run has."""

    def effect(subject: Subject) -> Effect | None:
        there = [pair for pair in pairs if set(pair) <= set(subject.recipes)]
        coefficients: dict[str, float] = {}
        for better, worse in there:
            coefficients[better] = coefficients.get(better, 0.0) + 1 / len(there)
            coefficients[worse] = coefficients.get(worse, 0.0) - 1 / len(there)
        return _effect(subject, coefficients) if there else None

    return effect


def at_equal(
    better: Sequence[str], worse: Sequence[str], amount: Callable[[Subject], Mapping[str, float]]
) -> Callable[[Subject], Effect | None]:
    """Retained on one curve minus on another, at equal amounts of what was saved or removed.

    The mean over ten evenly spaced amounts up to the largest that both curves reach, interpolated linearly between the
    recipes and from the uncompressed model.
    """

    def effect(subject: Subject) -> Effect | None:
        amounts = amount(subject)
        curves = [[recipe for recipe in curve if amounts.get(recipe, 0) > 0] for curve in (better, worse)]
        if not all(curves):
            return None
        reach = min(max(amounts[recipe] for recipe in curve) for curve in curves)
        grid = reach * np.arange(1, _POINTS + 1) / _POINTS
        return _along(subject, curves, grid, amounts)

    return effect


def at_points(
    points: Sequence[str], curve: Sequence[str], amount: Callable[[Subject], Mapping[str, float]]
) -> Callable[[Subject], Effect | None]:
    """Retained on a curve, where it saves or removes as much as a recipe does, minus under this recipe; the mean."""

    def effect(subject: Subject) -> Effect | None:
        amounts = amount(subject)
        whole = [recipe for recipe in curve if amounts.get(recipe, 0) > 0]
        reach = max((amounts[recipe] for recipe in whole), default=0.0)
        there = [recipe for recipe in points if 0 < amounts.get(recipe, 0) <= reach]
        if not there:
            return None
        grid = np.asarray([amounts[recipe] for recipe in there])
        first, *shares = interpolation_weights(np.asarray([0.0, *(amounts[recipe] for recipe in whole)]), grid)
        coefficients = dict(zip(whole, map(float, shares), strict=True))
        for recipe in there:
            coefficients[recipe] = coefficients.get(recipe, 0.0) - 1 / len(there)
        return _effect(subject, coefficients, float(first))

    return effect


def published(test: ClaimTest) -> Callable[[Subject], Effect | None]:
    """The effect of one of the package's findings."""

    def effect(subject: Subject) -> Effect | None:
        found = test.effect_on(subject.evidence)
        return None if isinstance(found, str) else found

    return effect


def past_half(curve: Sequence[str]) -> Callable[[Subject], Effect | None]:
    """Loss per 10% of sparsity from 50% to 90%, minus that up to 50%; the curve has a recipe for each tenth."""

    def effect(subject: Subject) -> Effect | None:
        half, most = curve[4], curve[8]
        if not {half, most} <= set(subject.recipes):
            return None
        return _effect(subject, {half: 1 / 4 + 1 / 5, most: -1 / 4}, -1 / 5)

    return effect


def removed(subject: Subject) -> Mapping[str, float]:
    """Return the weights that each recipe removes."""
    return {recipe: float(number) for recipe, number in subject.evidence.removed.items()}


def saved(subject: Subject) -> Mapping[str, float]:
    """Return the bytes that each recipe saves."""
    return subject.saved


def tested(questions: Sequence[Question], models: Sequence[Subject]) -> list[list[Tested]]:
    """Test claims on models: one list per claim. p-values are corrected by Holm over all of them.

    A verdict is ``supported`` if the corrected p-value is below 0.05 and the whole interval is above zero.
    """
    effects = [[(each, question.effect(each)) for each in models] for question in questions]
    values = [None if effect is None else p_value(effect, 0.0) for row in effects for _, effect in row]
    corrected = iter(holm_corrected(values))
    found = []
    for question, row in zip(questions, effects, strict=True):
        cells = []
        for subject, effect in row:
            p_holm = next(corrected)
            if effect is None or p_holm is None:
                cells.append(Tested(question.sentence, subject.label))
                continue
            estimate = expanded_interval(effect.value, effect.draws, clusters=effect.clusters)
            cells.append(Tested(question.sentence, subject.label, estimate, p_holm, _verdict(estimate, p_holm)))
        found.append(cells)
    return found


def overall(row: Sequence[Tested]) -> Verdict:
    """Return the verdict over models: that of those that are clear, if they agree."""
    given = {each.verdict for each in row}
    if "supported" in given and "contradicted" not in given:
        return "supported"
    if "contradicted" in given and "supported" not in given:
        return "contradicted"
    return "inconclusive" if given - {"not tested"} else "not tested"


def _along(subject: Subject, curves: Sequence[Sequence[str]], grid: np.ndarray, amounts: Mapping[str, float]) -> Effect:
    coefficients: dict[str, float] = {}
    constant = 0.0
    for curve, sign in zip(curves, (1, -1), strict=True):
        first, *shares = interpolation_weights(np.asarray([0.0, *(amounts[recipe] for recipe in curve)]), grid)
        constant += sign * float(first)
        for recipe, share in zip(curve, shares, strict=True):
            coefficients[recipe] = coefficients.get(recipe, 0.0) + sign * float(share)
    return _effect(subject, coefficients, constant)


def _effect(subject: Subject, coefficients: Mapping[str, float], constant: float = 0.0) -> Effect:
    draws = subject.evidence.draws
    value, resampled = draws.contrast(coefficients, constant)
    return Effect(value, resampled, draws.clusters, tuple(coefficients))


def _verdict(estimate: Estimate, p_holm: float) -> Verdict:
    if p_holm < SIGNIFICANT and estimate.low > 0:
        return "supported"
    return "contradicted" if p_holm < SIGNIFICANT and estimate.high < 0 else "inconclusive"

"""Claims that the answers test, in the form in which the package tests its findings."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from evidence import Subject

from forgetmeter.results.findings.all_findings import verdict_on
from forgetmeter.results.findings.at_equal_level import mean_difference
from forgetmeter.results.findings.attention_at_equal_removed import at_equal_amounts
from forgetmeter.results.findings.effect import ClaimTest, Effect, p_value
from forgetmeter.results.findings.finding import Verdict
from forgetmeter.results.findings.rapid_fall import fall_past_half
from forgetmeter.results.retained_curve import curve_weights
from forgetmeter.statistics.correction import holm_corrected
from forgetmeter.statistics.paired import Estimate
from forgetmeter.statistics.resampling import expanded_interval


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
    verdict: Verdict = "not tested"


def difference(pairs: Sequence[tuple[str, str]]) -> Callable[[Subject], Effect | None]:
    """Retained under the first recipe minus under the second; the mean over the pairs that a run has."""

    def effect(subject: Subject) -> Effect | None:
        there = [pair for pair in pairs if set(pair) <= set(subject.recipes)]
        return mean_difference(subject.evidence, there) if there else None

    return effect


def at_equal(
    better: Sequence[str], worse: Sequence[str], amount: Callable[[Subject], Mapping[str, float]]
) -> Callable[[Subject], Effect | None]:
    """Retained on one curve minus on another, at equal amounts of what was saved or removed (``at_equal_amounts``)."""

    def effect(subject: Subject) -> Effect | None:
        amounts = amount(subject)
        one, other = ([recipe for recipe in curve if amounts.get(recipe, 0) > 0] for curve in (better, worse))
        if not one or not other:
            return None
        coefficients, constant, _ = at_equal_amounts([(one, other)], amounts)
        return Effect.of(subject.evidence, coefficients, constant)

    return effect


def at_points(
    points: Sequence[str], curve: Sequence[str], amount: Callable[[Subject], Mapping[str, float]]
) -> Callable[[Subject], Effect | None]:
    """Retained on a curve, where it saves or removes as much as a recipe does, minus under this recipe; the mean."""

    def effect(subject: Subject) -> Effect | None:
        amounts = amount(subject)
        whole = {recipe: amounts[recipe] for recipe in curve if amounts.get(recipe, 0) > 0}
        there = [recipe for recipe in points if 0 < amounts.get(recipe, 0) <= max(whole.values(), default=0.0)]
        if not there:
            return None
        first, weights = curve_weights(whole, np.asarray([amounts[recipe] for recipe in there]))
        coefficients = {**weights, **dict.fromkeys(there, -1 / len(there))}
        return Effect.of(subject.evidence, coefficients, first)

    return effect


def published(test: ClaimTest) -> Callable[[Subject], Effect | None]:
    """The effect of one of the package's findings."""

    def effect(subject: Subject) -> Effect | None:
        found = test.effect_on(subject.evidence)
        return None if isinstance(found, str) else found

    return effect


def past_half(scope: str) -> Callable[[Subject], Effect | None]:
    """The package's finding on the fall past 50%, with one scope pruned."""

    def effect(subject: Subject) -> Effect | None:
        found = fall_past_half(subject.evidence, (scope,))
        return None if isinstance(found, str) else found

    return effect


def removed(subject: Subject) -> Mapping[str, float]:
    """Return the weights that each recipe removes."""
    return {recipe: float(number) for recipe, number in subject.evidence.removed.items()}


def saved(subject: Subject) -> Mapping[str, float]:
    """Return the bytes that each recipe saves."""
    return subject.saved


def tested(questions: Sequence[Question], models: Sequence[Subject]) -> list[list[Tested]]:
    """Test claims on models: one list per claim, judged by ``judged``."""
    return judged({each.sentence: {subject.label: each.effect(subject) for subject in models} for each in questions})


def judged(effects: Mapping[str, Mapping[str, Effect | None]]) -> list[list[Tested]]:
    """Test effects against zero: one list per sentence, of one result per label.

    p-values are corrected by Holm over all of them; verdicts are those of ``verdict_on``.
    """
    values = [None if effect is None else p_value(effect, 0.0) for row in effects.values() for effect in row.values()]
    corrected = iter(holm_corrected(values))
    found = []
    for sentence, row in effects.items():
        cells = []
        for label, effect in row.items():
            p_holm = next(corrected)
            if effect is None or p_holm is None:
                cells.append(Tested(sentence, label))
                continue
            estimate = expanded_interval(effect.value, effect.draws, clusters=effect.clusters)
            cells.append(Tested(sentence, label, estimate, verdict_on(estimate, p_holm)))
        found.append(cells)
    return found

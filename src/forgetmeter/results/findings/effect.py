"""Tests of claims, based on resampled effects on each task."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm, t

from forgetmeter.results.findings.evidence import Evidence, ModelEvidence
from forgetmeter.results.findings.finding import Claim, Finding, ModelResult, TaskResult
from forgetmeter.statistics.resampling import expanded_interval


@dataclass(frozen=True, eq=False)
class Effect:
    """An effect on one task.

    Attributes:
        value: The effect; above the claim's threshold if the claim holds.
        draws: The effect in each resample, shape ``(resamples,)``.
        clusters: Number of resampled relations; ``None`` if items were resampled.
        recipes: The compared recipes, as text.
        detail: A phrase of further detail, or empty.
        trials: Number of effects from which this one was chosen as the least favourable to the claim; if it speaks
            against the claim, its p-value is multiplied by this number.
    """

    value: float
    draws: NDArray[np.float64]
    clusters: int | None
    recipes: tuple[str, ...]
    detail: str = ""
    trials: int = 1

    @classmethod
    def of(
        cls, evidence: Evidence, coefficients: Mapping[str, float], constant: float = 0.0, *, detail: str = ""
    ) -> Effect:
        """Return a weighted sum of retained shares plus a constant.

        Args:
            coefficients: Weights by recipe.
        """
        value, draws = evidence.draws.contrast(coefficients, constant)
        return cls(value, draws, evidence.draws.clusters, tuple(coefficients), detail)


@dataclass(frozen=True)
class ClaimTest:
    """A claim with its test.

    Attributes:
        effect_on: Returns the effect on a task, or what is missing for a test.
        needs_knowledge: Whether to leave out tasks that the baseline knows too little about.
    """

    claim: Claim
    effect_on: Callable[[Evidence], Effect | str]
    needs_knowledge: bool = True

    def on(self, models: Sequence[ModelEvidence]) -> Finding:
        """Test the claim on every task of every model.

        Returns:
            The finding without verdicts, which depend on all tests of the run.
        """
        results = tuple(_model_result(self.claim, model, self._on_task) for model in models)
        reasons = dict.fromkeys(result.missing for result in results if result.missing)
        is_tested = any(result.effect is not None for result in results)
        missing = "" if is_tested else "; ".join(reasons) or "no model has outcomes"
        return Finding(self.claim, results, "not tested", missing)

    def _on_task(self, evidence: Evidence) -> Effect | str:
        if not self.needs_knowledge:
            return evidence.unusable or self.effect_on(evidence)
        if not evidence.answers.known.any():
            return evidence.problem
        # Missing recipes are reported first, as they are the same for all tasks.
        found = self.effect_on(evidence)
        return found if isinstance(found, str) else evidence.problem or found


def p_value(effect: Effect, threshold: float) -> float:
    """Return the two-sided p-value of the null hypothesis that the effect equals the threshold.

    Uses the standard deviation of the draws with a t distribution with one degree of freedom fewer than relations, or
    with the normal distribution if items were resampled. If the draws do not vary, all relations showed the
    same effect; the p-value is then the chance that all of them fall on the same side, or the smallest that this number
    of resamples can show.
    """
    draws = effect.draws[np.isfinite(effect.draws)]
    distance = effect.value - threshold
    deviation = float(draws.std(ddof=1)) if len(draws) > 1 else 0.0
    trials = effect.trials if distance < 0 else 1
    if deviation <= 1e-12:
        chance = 1 / (len(draws) + 1) if effect.clusters is None else 2 * 0.5**effect.clusters
        return 1.0 if abs(distance) <= 1e-12 else min(1.0, chance * trials)
    if effect.clusters is None:
        tail = float(norm.sf(abs(distance) / deviation))
    else:
        # The spread over few relations is underestimated by this factor.
        deviation *= float(np.sqrt(effect.clusters / (effect.clusters - 1)))
        tail = float(t.sf(abs(distance) / deviation, effect.clusters - 1))
    return min(1.0, 2 * tail * trials)


def _model_result(claim: Claim, model: ModelEvidence, effect_on: Callable[[Evidence], Effect | str]) -> ModelResult:
    found = [(evidence.task, effect_on(evidence)) for evidence in model.tasks]
    tasks = tuple(_task_result(claim, task, each) for task, each in found)
    effects = [each for _, each in found if isinstance(each, Effect)]
    if not effects:
        reasons = dict.fromkeys(f"{task.task}: {task.missing}" for task in tasks)
        alike = {task.missing for task in tasks}
        missing = next(iter(alike)) if len(alike) == 1 else "; ".join(reasons)
        return ModelResult(model.model, "not tested", tasks=tasks, missing=missing or "no outcomes")
    whole = _mean(effects)
    return ModelResult(
        model=model.model,
        verdict="not tested",
        effect=expanded_interval(whole.value, whole.draws, clusters=whole.clusters),
        p_value=p_value(whole, claim.threshold),
        tasks=tasks,
    )


def _task_result(claim: Claim, task: str, found: Effect | str) -> TaskResult:
    if isinstance(found, str):
        return TaskResult(task, missing=found)
    return TaskResult(
        task=task,
        effect=expanded_interval(found.value, found.draws, clusters=found.clusters),
        p_value=p_value(found, claim.threshold),
        recipes=found.recipes,
        detail=found.detail,
    )


def _mean(effects: Sequence[Effect]) -> Effect:
    """Return the mean effect over tasks, whose resamples are independent, with their smallest number of relations."""
    clusters = [effect.clusters for effect in effects if effect.clusters is not None]
    number = min(len(effect.draws) for effect in effects)
    return Effect(
        value=float(np.mean([effect.value for effect in effects])),
        draws=np.mean([effect.draws[:number] for effect in effects], axis=0),
        clusters=min(clusters) if clusters else None,
        recipes=tuple(dict.fromkeys(recipe for effect in effects for recipe in effect.recipes)),
        trials=max(effect.trials for effect in effects),
    )

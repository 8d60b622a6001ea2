"""From related work: facts fail before perplexity does."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from forgetmeter.results.findings.effect import Effect, tested
from forgetmeter.results.findings.evidence import Evidence, ModelEvidence
from forgetmeter.results.findings.finding import Claim, Finding
from forgetmeter.results.treatments import Treatment, curves
from forgetmeter.specs.recipe import BASELINE

TENTH = 0.1

CLAIM = Claim(
    name="facts_before_perplexity",
    sentence="Facts fail before perplexity does.",
    source="arXiv 2310.01382",
    question="Is a tenth of the facts forgotten at a lower pruning level than the one that raises perplexity by 10%?",
    test="Level at which perplexity is 1.1 times the baseline's, minus level at which 0.9 of the facts are retained, "
    "both interpolated linearly between measured levels; the last level if never reached. The mean over curves. "
    "Perplexity itself has no interval here.",
    unit="level",
)


def facts_before_perplexity(models: Sequence[ModelEvidence]) -> Finding:
    """Test the claim."""
    return tested(CLAIM, models, _effect)


def _effect(evidence: Evidence) -> Effect | str:
    perplexity = evidence.perplexity
    if not perplexity:
        return "needs a task with perplexity in the same run"
    if not evidence.answers.relations:
        return "the task does not ask for facts"
    wanted = [each for each in evidence.pruned if each.recipe in perplexity]
    groups = list(curves(wanted).values())
    if not groups:
        return "needs pruning at several levels, with facts and perplexity"
    values, draws = [], []
    for group in groups:
        levels = np.asarray([0.0, *(float(each.level or 0) for each in group)])
        up = _perplexity_level(levels, group, perplexity)
        places = [evidence.draws.recipes.index(each.recipe) for each in group]
        values.append(up - _fallen_level(levels, evidence.draws.retained[None, places])[0])
        draws.append(up - _fallen_level(levels, evidence.draws.draws[:, places]))
    recipes = tuple(each.recipe for group in groups for each in group)
    detail = f"compared with {evidence.text}"
    return Effect(float(np.mean(values)), np.mean(draws, axis=0), evidence.draws.clusters, recipes, detail)


def _perplexity_level(
    levels: NDArray[np.float64], group: Sequence[Treatment], perplexity: Mapping[str, float]
) -> float:
    rises = np.asarray([1.0, *(perplexity[each.recipe] / perplexity[BASELINE] for each in group)])
    return float(_first_crossing(levels, rises[None, :] - 1.0)[0])


def _fallen_level(levels: NDArray[np.float64], retained: NDArray[np.float64]) -> NDArray[np.float64]:
    lost = 1 - np.nan_to_num(retained)
    return _first_crossing(levels, np.concatenate([np.zeros((len(lost), 1)), lost], axis=1))


def _first_crossing(levels: NDArray[np.float64], rises: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the linearly interpolated level at which each row first reaches a tenth; the last level if it does not.

    Args:
        levels: Ascending levels, starting at 0, shape ``(levels,)``.
        rises: Shape ``(rows, levels)``; 0 in the first column.
    """
    reached = rises >= TENTH
    after = np.where(reached.any(axis=1), reached.argmax(axis=1), len(levels) - 1)
    rows = np.arange(len(rises))
    low, high = rises[rows, after - 1], rises[rows, after]
    share = np.where(high > low, (TENTH - low) / np.where(high > low, high - low, 1.0), 1.0)
    crossing = levels[after - 1] + np.clip(share, 0, 1) * (levels[after] - levels[after - 1])
    result: NDArray[np.float64] = np.where(reached.any(axis=1), crossing, levels[-1])
    return result

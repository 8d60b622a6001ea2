"""What is retained at growing levels: the curve, the area under it, and where it falls fastest."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from forgetmeter.results.cell_summary import CellSummary
from forgetmeter.results.retained_draws import RetainedDraws, retained_draws
from forgetmeter.results.summary import Summary
from forgetmeter.results.treatments import Treatment, curves, treatments
from forgetmeter.runs.content.answers import Answers
from forgetmeter.runs.run import Run
from forgetmeter.specs.method_facts import Methods
from forgetmeter.statistics.paired import Estimate
from forgetmeter.statistics.resampling import expanded_interval, hull

_TAIL = 0.025


@dataclass(frozen=True)
class CurvePoint:
    """One variant of a curve.

    Attributes:
        recipe: The recipe, as text.
        level: Its level, from 0 to 1.
        removed_weights: Zeros beyond those of the baseline; ``None`` where it was not counted.
        retained: Share of what the baseline knew that is still known, with its 95% interval.
    """

    recipe: str
    level: float
    removed_weights: int | None
    retained: Estimate


@dataclass(frozen=True)
class Knee:
    """Between which levels retained falls fastest.

    Attributes:
        low: The level before the steepest fall.
        high: The level after it.
        interval_low: Of the 95% interval: the lowest level where the steepest fall may begin.
        interval_high: The highest where it may end.
        share: In what share of the resamples the steepest fall is between the very same levels.
    """

    low: float
    high: float
    interval_low: float
    interval_high: float
    share: float


@dataclass(frozen=True)
class RetainedCurve:
    """What a method retains of a task in one scope, at growing levels.

    Attributes:
        model: The model, as text.
        task: The task.
        method: The method with its options.
        scope: The scope.
        points: By level; that of the baseline, where all is retained at level 0, is not among them.
        area: Mean of retained from level 0 to the last one (area under the curve by trapezoids, over the levels'
            range), from 0 to 1.
        knee: ``None`` where there is but one level.
    """

    model: str
    task: str
    method: str
    scope: str
    points: tuple[CurvePoint, ...]
    area: Estimate
    knee: Knee | None


def retained_curves(
    answers: Answers, cells: Mapping[str, CellSummary], removed: Mapping[str, int | None], methods: Methods
) -> tuple[RetainedCurve, ...]:
    """Return the curves of a model on a task; none where the baseline has no outcomes or knows nothing.

    Args:
        answers: What its variants did.
        cells: The same in numbers, by recipe.
        removed: Removed weights by recipe.
        methods: What is known about the methods.
    """
    draws = retained_draws(answers)
    if answers.baseline is None or not draws.known:
        return ()
    found = []
    for (method, scope), group in curves(treatments(answers.recipes, methods)).items():
        points = tuple(
            CurvePoint(each.recipe, float(each.level or 0), removed.get(each.recipe), estimate)
            for each in group
            if (estimate := cells[each.recipe].retained_estimate) is not None
        )
        area, knee = _area(group, points, draws), _knee(group, draws)
        found.append(RetainedCurve(answers.model, answers.task, method, scope, points, area, knee))
    return tuple(found)


def all_curves(run: Run, summary: Summary) -> tuple[RetainedCurve, ...]:
    """Return the curves of all models and tasks of a run."""
    found: list[RetainedCurve] = []
    for answers in run.answers:
        removed = {each.recipe: each.removed_weights for each in summary.variants if each.model == answers.model}
        cells = {
            cell.recipe: cell for cell in summary.cells if (cell.model, cell.task) == (answers.model, answers.task)
        }
        found += retained_curves(answers, cells, removed, summary.methods)
    return tuple(found)


def area_weights(levels: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return what each level's retained counts for in the area, that of level 0 first; they sum to 1.

    Args:
        levels: Growing, from 0, of shape ``(levels,)``; at least two.
    """
    widths = np.diff(levels)
    halves = np.zeros(len(levels))
    halves[:-1] += widths / 2
    halves[1:] += widths / 2
    weights: NDArray[np.float64] = halves / (levels[-1] - levels[0])
    return weights


def _levels(group: tuple[Treatment, ...]) -> NDArray[np.float64]:
    return np.asarray([0.0, *(float(each.level or 0) for each in group)])


def _area(group: tuple[Treatment, ...], points: Sequence[CurvePoint], draws: RetainedDraws) -> Estimate:
    first, *others = area_weights(_levels(group))
    value, resampled = draws.contrast(
        {each.recipe: weight for each, weight in zip(group, others, strict=True)}, constant=first
    )
    found = expanded_interval(value, resampled, clusters=draws.clusters)
    if len(points) < len(group):
        return found
    # Where little is forgotten, resamples forget nothing at all. The points' own intervals know better; all their ends
    # together are the area's where the points move together, which those of one model on the same items nearly do.
    ends = [
        (weight * point.retained.low, weight * point.retained.high)
        for weight, point in zip(others, points, strict=True)
    ]
    low, high = (first + sum(side) for side in zip(*ends, strict=True))
    return hull(found, Estimate(found.value, low, high))


def _knee(group: tuple[Treatment, ...], draws: RetainedDraws) -> Knee | None:
    if len(group) < 2:
        return None
    levels = _levels(group)
    places = [draws.recipes.index(each.recipe) for each in group]
    steepest = int(_steepest(draws.retained[None, places], levels)[0])
    resampled = _steepest(draws.draws[:, places], levels)
    low, high = np.quantile(resampled, [_TAIL, 1 - _TAIL], method="inverted_cdf").astype(int)
    return Knee(
        low=float(levels[steepest]),
        high=float(levels[steepest + 1]),
        interval_low=float(levels[min(low, steepest)]),
        interval_high=float(levels[max(high, steepest) + 1]),
        share=float(np.mean(resampled == steepest)),
    )


def _steepest(retained: NDArray[np.float64], levels: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return between which levels each row falls fastest: the index of the first of the two."""
    whole = np.concatenate([np.ones((len(retained), 1)), np.nan_to_num(retained)], axis=1)
    places: NDArray[np.int64] = np.argmin(np.diff(whole, axis=1) / np.diff(levels), axis=1)
    return places

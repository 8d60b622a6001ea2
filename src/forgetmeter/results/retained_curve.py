"""Curves of retained knowledge over the level, with their area and their steepest fall."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from forgetmeter.results.compared.cell_summary import CellSummary
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
        level: Its level, from 0 to 1.
        removed_weights: Zeros beyond those of the baseline; ``None`` if not counted.
        retained: Share of the known items that are still right, with its 95% interval.
    """

    recipe: str
    level: float
    removed_weights: int | None
    retained: Estimate


@dataclass(frozen=True)
class Knee:
    """The levels between which retained falls fastest.

    Attributes:
        low: The level before the steepest fall.
        high: The level after it.
        interval_low: Lower limit of the 95% interval: the lowest level at which the steepest fall may start.
        interval_high: Upper limit of the 95% interval: the highest level at which it may end.
        share: Share of the resamples whose steepest fall is between the same levels.
    """

    low: float
    high: float
    interval_low: float
    interval_high: float
    share: float


@dataclass(frozen=True)
class RetainedCurve:
    """Retained share of a task by level, for one method and scope.

    Attributes:
        method: The method with its options.
        points: By level, without the baseline, which retains everything at level 0.
        area: Mean of retained from level 0 to the last level (trapezoidal area under the curve, divided by the range
            of levels), from 0 to 1.
        knee: The steepest fall; ``None`` with a single level.
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
    """Return the curves of a model on a task; none if the baseline has no outcomes or knows nothing.

    Args:
        answers: Outcomes of the model's variants.
        cells: Their summaries, by recipe.
        removed: Removed weights, by recipe.
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
    """Return the weight of each level's retained in the area; the weights sum to 1.

    Args:
        levels: Ascending levels, starting at 0, shape ``(levels,)``; at least two.
    """
    widths = np.diff(levels)
    halves = np.zeros(len(levels))
    halves[:-1] += widths / 2
    halves[1:] += widths / 2
    weights: NDArray[np.float64] = halves / (levels[-1] - levels[0])
    return weights


def curve_weights(amounts: Mapping[str, float], grid: NDArray[np.float64]) -> tuple[float, Mapping[str, float]]:
    """Return the weights of the uncompressed model and of each recipe in the mean of a curve over a grid.

    Args:
        amounts: Where each recipe lies on the curve, in any order; the uncompressed model is at 0.
        grid: Where the curve is read, shape ``(amounts,)``; beyond the last recipe, it is that recipe's value.
    """
    places = np.asarray([0.0, *amounts.values()])
    order = np.argsort(places, kind="stable")
    # Interpolation is linear in the curve's values, so the weight of each is the mean of its hat function.
    first, *shares = (
        float(np.interp(grid, places[order], (order == member).astype(float)).mean()) for member in range(len(places))
    )
    return first, dict(zip(amounts, shares, strict=True))


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
    # If little is forgotten, resamples may forget nothing, but the points' intervals still have a width. Combining
    # their limits assumes that the points move together; those of one model on the same items nearly do.
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
    """Return the index of the level at which each row's steepest fall starts."""
    whole = np.concatenate([np.ones((len(retained), 1)), np.nan_to_num(retained)], axis=1)
    places: NDArray[np.int64] = np.argmin(np.diff(whole, axis=1) / np.diff(levels), axis=1)
    return places

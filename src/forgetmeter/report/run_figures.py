"""All figures of a run, by kind."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, fields, replace
from itertools import groupby

import numpy as np
from altair.utils.schemapi import debug_mode

from forgetmeter.report.figures.figure import Figure
from forgetmeter.report.figures.foretold_figure import foretold_figure
from forgetmeter.report.figures.frontier_figure import frontier_figure, shown_measures
from forgetmeter.report.figures.heat_figure import HeatGrid, heat_figure
from forgetmeter.report.figures.perplexity_figure import perplexity_figure
from forgetmeter.report.figures.recipes_figure import recipes_figure
from forgetmeter.report.figures.retained_figure import Along, retained_figures
from forgetmeter.report.figures.sensitivity_figure import sensitivity_figure
from forgetmeter.report.words.recipe_words import recipe_in_words, task_label
from forgetmeter.results.compared.cell_summary import CellSummary
from forgetmeter.results.compared.measured import perplexity_names
from forgetmeter.results.foretelling import foretold
from forgetmeter.results.frontier import MEASURES, frontiers
from forgetmeter.results.relation_shares import relation_shares
from forgetmeter.results.retained_curve import RetainedCurve
from forgetmeter.results.sensitivity import Sensitivity, sensitivities
from forgetmeter.results.summary import Summary
from forgetmeter.runs.content.answers import Answers
from forgetmeter.runs.run import Run
from forgetmeter.specs.recipe import BASELINE

_MOST_COLUMNS = 60


@dataclass(frozen=True)
class TaskFigures:
    """Figures about one task, one per model; ``task`` is empty for figures about all tasks."""

    task: str
    figures: tuple[Figure, ...]


@dataclass(frozen=True)
class RunFigures:
    """Figures of a run.

    Attributes:
        level: Retained share over pruned share, by task.
        removed: Retained share over removed weights, by task.
        recipes: Retained share of recipes not on any curve, by task.
        perplexity: Retained share over perplexity, by task; empty without a task that measures perplexity.
        foretold: How well cheap numbers rank variants by their retained share, by task.
        tasks: Forgotten share, recipes by tasks; empty with a single model and task.
        relations: Forgotten share, recipes by relations, by task.
        sensitivity: What parts of a model lose when they are compressed alone, roles by layer, by task.
        frontier: Retained share over size or speed, by task.
    """

    level: tuple[TaskFigures, ...]
    removed: tuple[TaskFigures, ...]
    recipes: tuple[TaskFigures, ...]
    perplexity: tuple[TaskFigures, ...]
    foretold: tuple[TaskFigures, ...]
    tasks: tuple[TaskFigures, ...]
    relations: tuple[TaskFigures, ...]
    sensitivity: tuple[TaskFigures, ...]
    frontier: tuple[TaskFigures, ...]

    def all(self) -> Iterable[Figure]:
        """Return every figure, in order."""
        groups = (getattr(self, field.name) for field in fields(self))
        return (figure for group in groups for each in group for figure in each.figures)


def run_figures(run: Run, summary: Summary, curves: Sequence[RetainedCurve]) -> RunFigures:
    """Return the figures of a run; kinds without anything to show are empty."""
    named, parts = _Names(), _parts(run, summary)
    shown = {(each.model, each.task, part.recipe) for each, _ in parts for part in each.parts}
    # A curve of one point, for each of many parts, would show less than their heat map.
    curves = [
        each for each in curves if len(each.points) > 1 or (each.model, each.task, each.points[0].recipe) not in shown
    ]
    # Altair would validate every part of every chart against its schema, which is slow; the tests do that once.
    with debug_mode(False):
        return RunFigures(
            level=named(_curve_figures(summary, curves, "level")),
            removed=named(_curve_figures(summary, curves, "removed")),
            recipes=named(_recipe_figures(summary, curves, shown)),
            perplexity=named(_perplexity_figures(summary)),
            foretold=named(_foretold_figures(summary)),
            tasks=named(_task_figures(summary)),
            relations=named(_relation_figures(run)),
            sensitivity=named(_by_task(summary, _figures_by_task(parts))),
            frontier=named(_frontier_figures(summary)),
        )


class _Names:
    """Makes figure names unique by appending a number to repeated ones."""

    def __init__(self) -> None:
        self._seen: Counter[str] = Counter()

    def __call__(self, groups: Iterable[TaskFigures]) -> tuple[TaskFigures, ...]:
        return tuple(replace(group, figures=tuple(map(self._named, group.figures))) for group in groups)

    def _named(self, figure: Figure) -> Figure:
        self._seen[figure.name] += 1
        number = self._seen[figure.name]
        return figure if number == 1 else replace(figure, name=f"{figure.name}-{number}")


def _by_task(summary: Summary, found: Mapping[str, list[Figure]]) -> tuple[TaskFigures, ...]:
    names = [task.task for task in summary.tasks]
    return tuple(TaskFigures(task, tuple(found[task])) for task in names if found.get(task))


def _curve_figures(summary: Summary, curves: Sequence[RetainedCurve], along: Along) -> tuple[TaskFigures, ...]:
    chances = _chances(summary)
    found: dict[str, list[Figure]] = {}
    for model, task in dict.fromkeys((curve.model, curve.task) for curve in curves):
        mine = [curve for curve in curves if (curve.model, curve.task) == (model, task)]
        found.setdefault(task, []).extend(retained_figures(mine, chances.get((model, task)), along))
    return _by_task(summary, found)


def _recipe_figures(
    summary: Summary, curves: Sequence[RetainedCurve], parts: Set[tuple[str, str, str]]
) -> tuple[TaskFigures, ...]:
    drawn = parts | {(curve.model, curve.task, point.recipe) for curve in curves for point in curve.points}
    chances = _chances(summary)
    found: dict[str, list[Figure]] = {}
    for model in dict.fromkeys(cell.model for cell in summary.cells):
        for task in summary.tasks:
            others = [
                cell
                for cell in summary.cells
                if (cell.model, cell.task) == (model, task.task) and (model, task.task, cell.recipe) not in drawn
            ]
            figure = recipes_figure(others, chances.get((model, task.task)), summary.methods)
            if figure is not None:
                found.setdefault(task.task, []).append(figure)
    return _by_task(summary, found)


def _chances(summary: Summary) -> Mapping[tuple[str, str], float | None]:
    """Return the accuracy of guessing on the baseline's items, by model and task."""
    return {(cell.model, cell.task): cell.chance for cell in summary.cells if cell.recipe == BASELINE}


def _perplexity_figures(summary: Summary) -> tuple[TaskFigures, ...]:
    """Return one figure per judged task, model and task that measures perplexity."""
    found: dict[str, list[Figure]] = {}
    compared = {cell.task: perplexity_names(cell.task, cell.metrics)[:1] for cell in summary.measured}
    texts = [task for task, names in compared.items() if names]
    for model, measured in dict.fromkeys((cell.model, cell.task) for cell in summary.measured):
        ratios = {
            cell.recipe: cell.ratios[name]
            for cell in summary.measured
            for name in compared[measured]
            if (cell.model, cell.task) == (model, measured) and name in cell.ratios
        }
        for task in summary.tasks:
            cells = [cell for cell in summary.cells if (cell.model, cell.task) == (model, task.task)]
            text = task_label(measured, texts) if len(texts) > 1 else ""
            figure = perplexity_figure(cells, ratios, summary.methods, text=text)
            if figure is not None:
                found.setdefault(task.task, []).append(figure)
    return _by_task(summary, found)


def _foretold_figures(summary: Summary) -> tuple[TaskFigures, ...]:
    found: dict[str, list[Figure]] = {}
    for (_, task), group in groupby(foretold(summary), key=lambda each: (each.model, each.task)):
        if (figure := foretold_figure(list(group))) is not None:
            found.setdefault(task, []).append(figure)
    return _by_task(summary, found)


def _task_figures(summary: Summary) -> tuple[TaskFigures, ...]:
    """Return one grid of recipes by models and tasks, if there is more than one column."""
    cells = {(cell.recipe, cell.model, cell.task): cell for cell in summary.cells}
    columns = list(dict.fromkeys((cell.model, cell.task) for cell in summary.cells if cell.recipe == BASELINE))
    recipes = tuple(dict.fromkeys(recipe for recipe, *_ in cells if recipe != BASELINE))
    if len(columns) < 2 or not recipes:
        return ()
    columns = columns[:_MOST_COLUMNS]
    models = {model for model, _ in columns}
    tasks = [task for _, task in columns]
    known = tuple(
        (
            task_label(task, tasks) if len(models) == 1 else f"{model}, {task_label(task, tasks)}",
            _known(cells[BASELINE, model, task]),
        )
        for model, task in columns
    )
    shares = tuple(tuple(_forgotten(cells.get((recipe, *column))) for column in columns) for recipe in recipes)
    if not any(value is not None for row in shares for value in row):
        return ()
    of = columns[0][0] if len(models) == 1 else "all models"
    words = tuple(recipe_in_words(recipe, summary.methods) for recipe in recipes)
    return (TaskFigures("", (heat_figure(HeatGrid(of, "all tasks", "task", known, words, shares)),)),)


def _known(cell: CellSummary | None) -> int:
    return 0 if cell is None else cell.right


def _forgotten(cell: CellSummary | None) -> float | None:
    return None if cell is None or cell.retained is None else 1 - cell.retained.value


def _relation_figures(run: Run) -> tuple[TaskFigures, ...]:
    found: dict[str, list[Figure]] = {}
    for answers in run.answers:
        if len(answers.relations) > 1 and answers.known.any():
            grid = _relation_grid(run, answers)
            if grid is not None:
                found.setdefault(answers.task, []).append(heat_figure(grid))
    return tuple(TaskFigures(task, tuple(figures)) for task, figures in found.items())


def _relation_grid(run: Run, answers: Answers) -> HeatGrid | None:
    shares = relation_shares(answers)
    if shares is None or not shares.recipes:
        return None
    texts = run.item_texts.get(answers.task)
    labels = {} if texts is None else texts.relation_labels
    # With too many relations, keep those with the most known items, in the task's order.
    chosen = np.sort(np.argsort(-shares.known, kind="stable")[:_MOST_COLUMNS])
    columns = tuple(
        (labels.get(shares.relations[place], shares.relations[place]), int(shares.known[place])) for place in chosen
    )
    rows = tuple(
        tuple(None if np.isnan(value) else float(value) for value in row) for row in shares.forgotten[:, chosen]
    )
    words = tuple(recipe_in_words(recipe, run.study.methods) for recipe in shares.recipes)
    return HeatGrid(answers.model, answers.task, "relation", columns, words, rows)


def _parts(run: Run, summary: Summary) -> list[tuple[Sensitivity, Figure]]:
    """Return the sensitivities that can be drawn as heat maps, with their figures."""
    found = ((each, sensitivity_figure(each, summary.methods)) for each in sensitivities(run, summary))
    return [(each, figure) for each, figure in found if figure is not None]


def _figures_by_task(parts: Iterable[tuple[Sensitivity, Figure]]) -> dict[str, list[Figure]]:
    found: dict[str, list[Figure]] = {}
    for each, figure in parts:
        found.setdefault(each.task, []).append(figure)
    return found


def _frontier_figures(summary: Summary) -> tuple[TaskFigures, ...]:
    found: dict[str, list[Figure]] = {}
    # A baseline alone can be compared with nothing.
    every = [frontier for frontier in frontiers(summary) if len(frontier.points) > 1]
    # Charts of one measure are next to each other: all models by size, then all by speed.
    for measure in MEASURES:
        for frontier in every:
            if measure in shown_measures(frontier):
                found.setdefault(frontier.task, []).append(frontier_figure(frontier, measure, summary.methods))
    return _by_task(summary, found)

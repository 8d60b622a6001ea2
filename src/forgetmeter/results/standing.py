"""Ranking of recipes by what they retain over several tasks, with their distance from the best."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from forgetmeter.results.compared.cell_summary import CellSummary
from forgetmeter.results.compared.clustered import retained_difference
from forgetmeter.results.findings.evidence import Evidence, gather
from forgetmeter.results.summary import Summary
from forgetmeter.runs.run import Run
from forgetmeter.specs.recipe import parse_recipe
from forgetmeter.statistics.paired import Estimate, mean_of


@dataclass(frozen=True)
class TaskStanding:
    """Retained share of one task under a recipe.

    Attributes:
        retained: Share of the known items that are still right, with its 95% interval.
        forgotten: Number of known items that are wrong now.
        known: Number of items that the baseline gets right, among those that both answered.
    """

    task: str
    retained: Estimate
    forgotten: int
    known: int


@dataclass(frozen=True)
class Standing:
    """Retained share of all tasks under a recipe.

    Attributes:
        retained: Mean retained share over the tasks, with its 95% interval.
        tasks: The retained share of each task.
        behind: Mean of the first recipe's retained share minus this one's on the same items, with its 95% interval;
            ``None`` for the first.
    """

    recipe: str
    retained: Estimate
    tasks: tuple[TaskStanding, ...]
    behind: Estimate | None

    @property
    def is_clearly_behind(self) -> bool:
        """Whether the whole interval of ``behind`` is above zero."""
        return self.behind is not None and self.behind.low > 0


@dataclass(frozen=True)
class Standings:
    """Recipes, ordered from most to least retained.

    However, a simpler one comes before one that is statistically indistinguishable from it.

    Attributes:
        ranked: The recipes that have outcomes on every counted task.
        counted: Tasks of which the baseline knows enough.
        not_counted: Tasks of which the baseline knows too little, or that have no right answers, with the reason.
        failures: Recipes that failed, with the error.
    """

    ranked: tuple[Standing, ...]
    counted: tuple[str, ...]
    not_counted: tuple[tuple[str, str], ...]
    failures: tuple[tuple[str, str], ...]

    @property
    def reasons(self) -> str:
        """Why tasks are not counted and recipes not ranked, in one line."""
        # Usually all have the same reason.
        tasks = {
            reason: [task for task, other in self.not_counted if other == reason] for _, reason in self.not_counted
        }
        found = [f"{', '.join(dict.fromkeys(names))}: {reason}" for reason, names in tasks.items()]
        found += dict.fromkeys(error for _, error in self.failures)
        return "; ".join(found) or "no outcomes"


def standings(
    run: Run, summary: Summary, recipes: Sequence[str], *, sizes: Mapping[str, int] | None = None
) -> Standings:
    """Rank the recipes of a run of one model.

    Args:
        recipes: Recipes to rank, without the baseline; ties keep this order.
        sizes: Bytes of each recipe. Of recipes with equal bytes that are statistically indistinguishable, the simpler
            one comes first.
    """
    failures = {each.recipe: each.error for each in summary.failures}
    evidence = [each for model in gather(run, summary) for each in model.tasks]
    counted = [each for each in evidence if not each.problem]
    measured = dict.fromkeys(cell.task for cell in summary.measured)
    whole = [recipe for recipe in recipes if recipe not in failures and all(_cell(each, recipe) for each in counted)]
    return Standings(
        ranked=_ranked(counted, whole, sizes or {}) if counted else (),
        counted=tuple(each.task for each in counted),
        not_counted=(
            *((each.task, each.problem) for each in evidence if each.problem),
            *((task, "it has no right answers to retain") for task in measured),
        ),
        failures=tuple((recipe, failures[recipe]) for recipe in recipes if recipe in failures),
    )


def _cell(evidence: Evidence, recipe: str) -> CellSummary | None:
    cell = evidence.cells.get(recipe)
    return cell if cell is not None and cell.retained is not None else None


def _ranked(evidence: Sequence[Evidence], recipes: Sequence[str], sizes: Mapping[str, int]) -> tuple[Standing, ...]:
    means = {recipe: mean_of([_retained(each, recipe) for each in evidence]) for recipe in recipes}
    order = _simpler_first(evidence, sorted(recipes, key=lambda recipe: -means[recipe].value), sizes)
    return tuple(
        Standing(
            recipe=recipe,
            retained=means[recipe],
            tasks=tuple(_task(each, recipe) for each in evidence),
            behind=None if recipe == order[0] else _distance(evidence, order[0], recipe),
        )
        for recipe in order
    )


def _simpler_first(evidence: Sequence[Evidence], order: Sequence[str], sizes: Mapping[str, int]) -> list[str]:
    """Move each recipe before more complex ones of the same bytes that are not clearly better."""
    complexity = {recipe: parse_recipe(recipe).complexity for recipe in order if recipe in sizes}
    left, found = list(order), list[str]()
    while left:
        best = left[0]
        alike = [
            each
            for each in left[1:]
            if best in sizes
            and sizes.get(each) == sizes[best]
            and complexity[each] < complexity[best]
            and _distance(evidence, best, each).low <= 0
        ]
        found.append(min(alike, key=complexity.__getitem__, default=best))
        left.remove(found[-1])
    return found


def _distance(evidence: Sequence[Evidence], first: str, other: str) -> Estimate:
    return mean_of([_behind(each, first, other) for each in evidence])


def _behind(evidence: Evidence, best: str, other: str) -> Estimate:
    """Return one recipe's retained share of a task minus another's, on the items that both answered."""
    answers = evidence.answers
    one, two = answers.recipes.index(best), answers.recipes.index(other)
    asked = answers.known & answers.paired[one] & answers.paired[two]
    return retained_difference(answers, one, two, asked)


def _retained(evidence: Evidence, recipe: str) -> Estimate:
    estimate = evidence.cells[recipe].retained_estimate
    assert estimate is not None
    return estimate


def _task(evidence: Evidence, recipe: str) -> TaskStanding:
    answers = evidence.answers
    known = answers.known & answers.paired[answers.recipes.index(recipe)]
    forgotten = evidence.cells[recipe].forgotten or 0
    return TaskStanding(evidence.task, _retained(evidence, recipe), forgotten, int(known.sum()))

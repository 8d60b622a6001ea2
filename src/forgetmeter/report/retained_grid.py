"""Grid of retained knowledge, treatments by scopes: the shortest summary of a run."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from forgetmeter.basics.plural import counted
from forgetmeter.report.words.numbers import MISSING, percent, share_or_all_but
from forgetmeter.report.words.recipe_words import scope_in_words, treatment
from forgetmeter.results.compared.cell_summary import CellSummary
from forgetmeter.results.summary import Summary, TaskSummary
from forgetmeter.specs.method_facts import Methods
from forgetmeter.specs.recipe import BASELINE, Recipe, parse_recipe
from forgetmeter.specs.scope import Scope
from forgetmeter.statistics.paired import value

_ANY = Scope("overall")


@dataclass(frozen=True)
class RetainedGrid:
    """The grid of one model and one task.

    Attributes:
        known: Number of items that the baseline gets right.
        items: Number of items that it was evaluated on.
        chance: Accuracy of guessing on these items; ``None`` without choices.
        scopes: Headings of the columns, in words.
        treatments: Headings of the rows, in words, in the order of the run.
        retained: Share of the known items that are still right, by treatment and scope; ``None`` without such a cell.
    """

    model: str
    task: str
    known: int
    items: int
    chance: float | None
    scopes: tuple[str, ...]
    treatments: tuple[str, ...]
    retained: tuple[tuple[float | None, ...], ...]


def retained_grids(summary: Summary) -> list[RetainedGrid]:
    """Return the grid of each model and task with a baseline and with recipes whose steps share one scope."""
    found = []
    for model in dict.fromkeys(cell.model for cell in summary.cells):
        for task in summary.tasks:
            cells = [cell for cell in summary.cells if (cell.model, cell.task) == (model, task.task)]
            grid = _grid(model, task, cells, summary.methods)
            if grid is not None:
                found.append(grid)
    return found


def grid_text(grid: RetainedGrid) -> str:
    """Return a grid as lines of plain text."""
    width = max(len(name) for name in (*grid.treatments, "guessing"))
    columns = [max(len(name), 6) for name in grid.scopes]
    known = share_or_all_but(grid.known, grid.items)
    still = f"{counted(grid.known, 'correct answer')} that {'is' if grid.known == 1 else 'are'} still correct"
    lines = [
        f"{grid.model} answers {known} of {counted(grid.items, 'item')} of {grid.task} correctly.",
        f"Share of the {still} after compression",
        "",
        "  " + " ".ljust(width) + _row(grid.scopes, columns),
    ]
    for name, values in zip(grid.treatments, grid.retained, strict=True):
        shown = [MISSING if value is None else percent(value) for value in values]
        lines.append("  " + name.ljust(width) + _row(shown, columns))
    if grid.chance is not None:
        lines.append(f"  (Guessing gets {percent(grid.chance)} right.)")
    return "\n".join(lines) + "\n"


def _row(texts: Iterable[str], widths: Sequence[int]) -> str:
    return "".join(f"   {text:>{width}}" for text, width in zip(texts, widths, strict=True))


def _grid(model: str, task: TaskSummary, cells: Sequence[CellSummary], methods: Methods) -> RetainedGrid | None:
    baseline = next((cell for cell in cells if cell.recipe == BASELINE), None)
    # By recipe without its scope: different ones may have the same words.
    values: dict[tuple[Recipe, str], float | None] = {}
    for cell in cells:
        recipe = parse_recipe(cell.recipe)
        scopes = {str(step.scope) for step in recipe.steps}
        if len(scopes) == 1 and recipe.candidate is None:
            bare = Recipe(tuple(replace(step, scope=_ANY) for step in recipe.steps))
            values[bare, scopes.pop()] = value(cell.retained)
    if baseline is None or not values:
        return None
    treatments = tuple(dict.fromkeys(recipe for recipe, _ in values))
    scopes_found = tuple(dict.fromkeys(scope for _, scope in values))
    return RetainedGrid(
        model=model,
        task=task.task,
        known=baseline.right,
        items=baseline.items,
        chance=baseline.chance,
        scopes=tuple(map(scope_in_words, scopes_found)),
        treatments=tuple(treatment(recipe, methods) for recipe in treatments),
        retained=tuple(tuple(values.get((recipe, scope)) for scope in scopes_found) for recipe in treatments),
    )

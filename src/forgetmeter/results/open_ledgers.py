"""The ledgers of a run's recipe."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress

from forgetmeter.errors import UserError
from forgetmeter.results.ledger import Ledger, make_ledger
from forgetmeter.runs.run import Run
from forgetmeter.specs.recipe import BASELINE, candidate_recipe, parse_recipe, stored_recipe
from forgetmeter.specs.suggestion import unknown


def open_ledgers(run: Run, recipe: str, *, task: str | None = None, model: str | None = None) -> tuple[Ledger, ...]:
    """Return the ledger of each model and task on which both the recipe and the baseline have outcomes.

    Args:
        recipe: One of its recipes, as text, or the name of a candidate; not the baseline.
        task: Only this task; the options of its name may be omitted.
        model: Only this model.

    Raises:
        UserError: The recipe, task or model is not in the run, or outcomes to compare are missing.
    """
    wanted = find_recipe(run, recipe)
    models = find_names("model", list(dict.fromkeys(variant.model for variant in run.variants)), model)
    tasks = find_names("task", run.task_names, task)
    unjudged = dict.fromkeys(cell.task for cell in run.cells if not cell.is_judged)
    tasks = [name for name in tasks if name not in unjudged]
    if not tasks and unjudged:
        raise UserError(
            f"nothing can be forgotten in tasks without right answers ({', '.join(unjudged)}); choose another task"
        )
    done = {cell.key for cell in run.cells}
    stored = {each.task for each in run.tasks}
    found, missing = [], []
    for each in models:
        for name in tasks:
            lacking = [text for text in (BASELINE, wanted) if (each, text, name) not in done]
            if lacking:
                missing.append(f"'{lacking[0]}' on {name}{_failed(run, each, lacking[0], name)}")
            else:
                has_items = name in stored
                found.append(make_ledger(each, wanted, name, run.ledger_items(each, wanted, name), has_items=has_items))
    if not found:
        raise UserError(
            f"nothing to compare: the run has no outcomes of {', '.join(missing)}; run the study again to complete it"
        )
    return tuple(found)


def find_recipe(run: Run, text: str) -> str:
    """Return a recipe of a run, as text, from a recipe or the name of a candidate.

    Raises:
        UserError: The run does not have it, or it is the baseline.
    """
    recipes = [recipe for recipe in dict.fromkeys(variant.recipe for variant in run.variants) if recipe != BASELINE]
    with suppress(UserError):
        if (candidate := candidate_recipe(text)) in recipes:
            return candidate
    try:
        wanted = str(parse_recipe(text))
    except UserError:
        names = [str(made.candidate) for each in recipes if (made := stored_recipe(each)) and made.candidate]
        if not names:
            raise
        raise UserError(unknown("recipe or candidate", text, [*names, *recipes], within="this run")) from None
    if wanted == BASELINE:
        raise UserError("recipes are compared with the baseline; give another recipe with --recipe")
    if not recipes:
        raise UserError(
            "nothing can be forgotten: the run has no recipe except the baseline; "
            "add recipes to its study and run it again"
        )
    if wanted not in recipes:
        raise UserError(unknown("recipe", wanted, recipes, within="this run"))
    return wanted


def find_names(kind: str, names: Sequence[str], wanted: str | None, *, within: str = "this run") -> list[str]:
    """Return the name that is wanted, or all with its text before their options; all names if none is.

    Raises:
        UserError: None has the name that is wanted.
    """
    if wanted is None:
        return list(names)
    found = [name for name in names if name == wanted] or [name for name in names if name.split(":")[0] == wanted]
    if not found:
        raise UserError(unknown(kind, wanted, names, within=within))
    return found


def _failed(run: Run, model: str, recipe: str, task: str) -> str:
    failed = {(each.model, each.recipe, each.task) for each in run.failures}
    return " (it failed)" if (model, recipe, task) in failed else ""

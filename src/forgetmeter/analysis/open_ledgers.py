"""From a run to the ledgers of a recipe."""

from __future__ import annotations

from collections.abc import Sequence

from forgetmeter.analysis.frames import Run
from forgetmeter.analysis.judged import is_judged
from forgetmeter.analysis.ledger import Ledger, make_ledger
from forgetmeter.analysis.ledger_items import ledger_items
from forgetmeter.errors import UserError
from forgetmeter.specs.recipe import BASELINE, parse_recipe
from forgetmeter.specs.suggestion import unknown


def open_ledgers(run: Run, recipe: str, *, task: str | None = None, model: str | None = None) -> tuple[Ledger, ...]:
    """Return a ledger for each model and task on which both the recipe and the baseline have outcomes.

    Args:
        run: The run, finished or not.
        recipe: One of its recipes, as text; not the baseline.
        task: Only this task; a task with options may be named without them.
        model: Only this model.

    Raises:
        UserError: The run has no such recipe, task or model, or nothing to compare it with.
    """
    wanted = _recipe(run, recipe)
    models = _chosen("model", list(dict.fromkeys(run.variants["model"])), model)
    names = list(dict.fromkeys([*run.study["identity"].get("tasks", ()), *run.cells["task"]]))
    tasks = _chosen("task", names, task)
    rows = run.cells.to_dict("records")
    unjudged = dict.fromkeys(str(row["task"]) for row in rows if not is_judged(row))
    tasks = [name for name in tasks if name not in unjudged]
    if not tasks and unjudged:
        raise UserError(f"there are no right answers in {', '.join(unjudged)}, so that none can be forgotten")
    done = {(str(row["model"]), str(row["recipe"]), str(row["task"])) for row in rows}
    found, missing = [], []
    for each in models:
        for name in tasks:
            lacking = [text for text in (BASELINE, wanted) if (each, text, name) not in done]
            if lacking:
                missing.append(f"'{lacking[0]}' on {name}{_failed(run, each, lacking[0], name)}")
            else:
                with run.damage_named():
                    found.append(_ledger(run, each, wanted, name))
    if not found:
        raise UserError(
            f"nothing to compare: the run has no outcomes of {', '.join(missing)}; run the study again to do what is "
            "missing"
        )
    return tuple(found)


def _recipe(run: Run, text: str) -> str:
    wanted = str(parse_recipe(text))
    recipes = [recipe for recipe in dict.fromkeys(run.variants["recipe"]) if recipe != BASELINE]
    if wanted == BASELINE:
        raise UserError("the ledger compares a recipe with the baseline; give one of the others with --recipe")
    if not recipes:
        raise UserError("the run has no recipe but the baseline, so that nothing can have been forgotten")
    if wanted not in recipes:
        raise UserError(unknown("recipe of this run", wanted, recipes))
    return wanted


def _chosen(kind: str, names: Sequence[str], wanted: str | None) -> list[str]:
    if wanted is None:
        return list(names)
    found = [name for name in names if name == wanted] or [name for name in names if name.split(":")[0] == wanted]
    if not found:
        raise UserError(unknown(f"{kind} of this run", wanted, names))
    return found


def _failed(run: Run, model: str, recipe: str, task: str) -> str:
    failed = {(row["model"], row["recipe"], row["task"]) for row in run.failures.to_dict("records")}
    return " (it failed)" if (model, recipe, task) in failed else ""


def _ledger(run: Run, model: str, recipe: str, task: str) -> Ledger:
    baseline, variant = (run.outcomes_file(model, each, task) for each in (BASELINE, recipe))
    assert baseline is not None
    assert variant is not None
    items = run.items_file(task)
    return make_ledger(model, recipe, task, ledger_items(items, baseline, variant), has_items=items is not None)

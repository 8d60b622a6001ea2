"""What a study may leave out of its run: recipes, candidates and tasks with stored errors, but no answers."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any

from forgetmeter.runs import layout
from forgetmeter.runs.agreement import names_of


def without_failed(study: Mapping[str, Any], asked: Mapping[str, Any], files: Iterable[str]) -> dict[str, Any]:
    """Return a run's identity without the parts that the requested study omits and may omit.

    Args:
        study: The content of ``study.json``.
        asked: The identity of the requested study.
        files: Paths of the files of the run's variants.
    """
    recipes = {variant: recipe for variant, (_, recipe) in names_of(study).items()}
    tasks = {layout.file_name(task): task for task in study["identity"].get("tasks", ())}
    paths = list(files)

    def found(cell_of: Callable[[str], tuple[str, str] | None]) -> dict[str, set[str | None]]:
        cells = [cell for path in paths if (cell := cell_of(path))]
        return {
            "recipes": {recipes.get(variant) for variant, _ in cells},
            "tasks": {tasks.get(task) for _, task in cells},
        }

    answered, failed = found(layout.outcomes_cell), found(layout.failed_cell)

    def kept(key: str, values: Iterable[str], wanted: Collection[str]) -> list[str]:
        return [each for each in values if each in wanted or each in answered[key] or each not in failed[key]]

    identity = dict(study["identity"])
    for key in failed:
        identity[key] = kept(key, identity.get(key, ()), asked.get(key, ()))
    if "candidates" in identity:
        wanted = asked.get("candidates", {})
        lists = {of: kept("recipes", values, wanted.get(of, ())) for of, values in identity.pop("candidates").items()}
        if any(lists.values()):
            identity["candidates"] = lists
    return identity


def obsolete_files(study: Mapping[str, Any], asked: Mapping[str, Any], files: Iterable[str]) -> list[str]:
    """Return the paths of files that belong to recipes, candidates and tasks that ``asked`` omits.

    Args:
        study: The content of ``study.json``.
        asked: That of the requested study.
        files: Paths of all files of the run.
    """
    variants = names_of(study).keys() - names_of(asked).keys()
    old, new = (each["identity"].get("tasks", ()) for each in (study, asked))
    tasks = {layout.file_name(task) for task in old if task not in new}
    return [
        path
        for path in files
        if layout.variant_of(path) in variants
        or layout.items_task(path) in tasks
        or ((cell := layout.failed_cell(path)) and cell[1] in tasks)
    ]

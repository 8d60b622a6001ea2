"""Writes a model card of a run's variant."""

from __future__ import annotations

from pathlib import Path

from forgetmeter.basics.plural import counted
from forgetmeter.basics.visible_text import encodable
from forgetmeter.errors import UserError
from forgetmeter.report.formats.model_card import model_card
from forgetmeter.results.open_ledgers import find_names, find_recipe
from forgetmeter.results.results import open_run
from forgetmeter.specs.recipe import BASELINE


def write_card(location: str, file: Path, *, recipe: str | None = None, model: str | None = None) -> Path:
    """Write a model card, or update an existing one, and return its path.

    Args:
        location: Folder or URL of the run.
        file: The card, usually ``README.md`` in the folder of the compressed model.
        recipe: The recipe or candidate; the only one of the run by default.
        model: The original; the only one of the run by default.

    Raises:
        UserError: The run lacks them or has several, or the file cannot be read or written.
    """
    results = open_run(location)
    variants = results.run.variants
    models = find_names("model", list(dict.fromkeys(each.model for each in variants)), model)
    recipes = list(dict.fromkeys(each.recipe for each in variants if each.recipe != BASELINE))
    recipes = recipes if recipe is None else [find_recipe(results.run, recipe)]
    if not recipes:
        raise UserError(f"run '{location}' has no compressed variant to describe; add recipes or candidates to it")
    for option, noun, found in (("--model", "model", models), ("--recipe", "recipe", recipes)):
        if len(found) != 1:
            raise UserError(
                f"a card describes one variant, and the run has {counted(len(found), noun)}; choose one with {option}"
            )
    try:
        existing = file.read_text(encoding="utf-8") if file.exists() else ""
        text = model_card(results, models[0], recipes[0], existing=existing)
        file.write_text(encodable(text), encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"the card '{file}' cannot be read or written ({error})") from None
    return file

"""Recipes and scopes in words."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from forgetmeter.errors import UserError
from forgetmeter.specs.method_facts import BY_NAME, Methods
from forgetmeter.specs.recipe import BASELINE, Recipe, parse_recipe

_SCOPE_NAMES = {"overall": "both", "feed_forward": "feed-forward"}


def recipe_in_words(text: str, methods: Methods) -> str:
    """Return what a recipe does and where: ``attention: 20% pruned, then 8-bit``. A candidate is named by its model.

    A recipe that does not parse, such as one in a plug-in's own syntax, is returned unchanged.
    """
    if text == BASELINE:
        return BASELINE
    try:
        recipe = parse_recipe(text)
    except UserError:
        return text
    if recipe.candidate is not None:
        steps = recipe_in_words(str(replace(recipe, candidate=None)), methods) if recipe.steps else ""
        return f"{recipe.candidate}, then {steps}" if steps else str(recipe.candidate)
    scopes = list(dict.fromkeys(str(step.scope) for step in recipe.steps))
    if len(scopes) == 1:
        return f"{scope_in_words(scopes[0])}: {treatment(recipe, methods)}"
    return ", then ".join(
        f"{scope_in_words(str(step.scope))} {treatment(Recipe((step,)), methods)}" for step in recipe.steps
    )


def treatment(recipe: Recipe, methods: Methods) -> str:
    """Return what a recipe does, in words, without the scope: ``20% pruned, then 8-bit``."""
    return ", then ".join(methods.get(step.method, BY_NAME).in_words(step) for step in recipe.steps)


def scope_in_words(scope: str) -> str:
    """Return a scope in words: ``both`` for attention and feed-forward together."""
    return _SCOPE_NAMES.get(scope, scope)


def task_label(task: str, tasks: Iterable[str]) -> str:
    """Return a task's name without its options, unless another of the tasks has the same name."""
    base = task.partition(":")[0]
    return task if any(other != task and other.partition(":")[0] == base for other in tasks) else base

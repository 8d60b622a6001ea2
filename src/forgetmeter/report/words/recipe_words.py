"""Recipes and scopes as a reader says them."""

from __future__ import annotations

from collections.abc import Iterable

from forgetmeter.errors import UserError
from forgetmeter.probes.registry import find_task
from forgetmeter.specs.method_facts import BY_NAME, Methods
from forgetmeter.specs.recipe import BASELINE, Recipe, parse_recipe

_SCOPE_NAMES = {"overall": "both", "feed_forward": "feed-forward"}


def recipe_in_words(text: str, methods: Methods) -> str:
    """Return what a recipe does and where: ``attention: 20% pruned, then 8-bit``.

    A recipe in a form that is not known here, such as one of a plug-in, is returned as it is.

    Args:
        text: The recipe.
        methods: What the run knows about its methods.
    """
    if text == BASELINE:
        return BASELINE
    try:
        recipe = parse_recipe(text)
    except UserError:
        return text
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
    """Return a scope as it is said: ``both`` for attention and feed-forward together."""
    return _SCOPE_NAMES.get(scope, scope)


def task_label(task: str, tasks: Iterable[str]) -> str:
    """Return a task's name without its options, where no other of the tasks has the same."""
    base = task.partition(":")[0]
    return task if any(other != task and other.partition(":")[0] == base for other in tasks) else base


def things(task: str, number: int) -> str:
    """Return what a task's items are called: facts, where it asks for each once; items, where it does not say."""
    try:
        if (declared := find_task(task)) is not None:
            return declared.things(declared.parse(task), number)
    except UserError:
        # A run may be older than what is installed.
        pass
    return "item" if number == 1 else "items"

"""Recipes and scopes in words."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from forgetmeter.specs.method_facts import BY_NAME, Methods
from forgetmeter.specs.recipe import BASELINE, Recipe, stored_recipe

_LONGEST_LABEL = 42
_SCOPE_NAMES = {"overall": "both", "feed_forward": "feed-forward", "token_embedding": "token embedding"}


def recipe_in_words(text: str, methods: Methods) -> str:
    """Return what a recipe does and where: ``attention: 20% pruned, then 8-bit``. A candidate is named by its model.

    A recipe that does not parse, such as one in a plug-in's own syntax, is returned unchanged.
    """
    recipe = _parsed(text)
    if recipe is None:
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


def candidate_of(text: str) -> str | None:
    """Return the name of the candidate that a recipe is, or starts from; ``None`` if there is none."""
    recipe = _parsed(text)
    return None if recipe is None or recipe.candidate is None else str(recipe.candidate)


def is_candidate(text: str) -> bool:
    """Return whether a recipe is a candidate without any step."""
    recipe = _parsed(text)
    return recipe is not None and recipe.candidate is not None and not recipe.steps


def variant_name(text: str) -> str:
    """Return the name of a candidate without steps; other recipes unchanged."""
    return candidate_of(text) or text if is_candidate(text) else text


def variant_noun(recipes: Iterable[str]) -> str:
    """Return the noun for what recipes make: ``recipe``, ``candidate``, or ``variant`` if there are both."""
    kinds = {"recipe" if candidate_of(each) is None else "candidate" for each in recipes if each != BASELINE}
    return kinds.pop() if len(kinds) == 1 else "variant" if kinds else "recipe"


def short_labels(names: Sequence[str]) -> list[str]:
    """Return names for a chart: long ones without their middle, unless two would then be equal."""
    longest = _LONGEST_LABEL
    while len(set(labels := [_without_middle(name, longest) for name in names])) < len(set(names)):
        longest *= 2
    return labels


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


def _without_middle(name: str, longest: int) -> str:
    # What distinguishes files and folders is often at the end of their names.
    head = longest // 3
    return name if len(name) <= longest else f"{name[:head]}…{name[head + 1 - longest :]}"


def _parsed(text: str) -> Recipe | None:
    """Return a recipe; ``None`` for the baseline and for what does not parse."""
    return None if text == BASELINE else stored_recipe(text)

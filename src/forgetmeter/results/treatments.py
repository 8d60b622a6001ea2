"""Recipes of one step, grouped by method, scope and level."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from forgetmeter.specs.method_facts import BY_NAME, MethodFacts, Methods
from forgetmeter.specs.recipe import Level, Step, stored_recipe

BOTH = "overall"
ATTENTION = "attention"
FEED_FORWARD = "feed_forward"
HEAD = "head"
_PUBLISHED = "paper/"


@dataclass(frozen=True)
class Treatment:
    """A recipe of one step, split into its parts.

    Attributes:
        method: The method and its options, as text.
        scope: The scope, as text; scopes of the published scripts keep their ``paper/`` prefix.
        level: The level; ``None`` if the method has none.
        facts: The run's facts about the method.
    """

    recipe: str
    method: str
    scope: str
    level: Level | None
    facts: MethodFacts

    @property
    def name(self) -> str:
        """The method without its options."""
        return self.method.partition(":")[0]

    @property
    def family(self) -> str:
        """Prefix of the scope: ``paper/`` for those of the published scripts, else empty."""
        return _PUBLISHED if self.scope.startswith(_PUBLISHED) else ""

    @property
    def place(self) -> str:
        """The scope without its prefix."""
        return self.scope.removeprefix(_PUBLISHED)


def treatments(recipes: Iterable[str], methods: Methods) -> tuple[Treatment, ...]:
    """Return the recipes of one step applied to the model itself; others, and those that do not parse, are left out."""
    found = []
    for recipe in recipes:
        parsed = stored_recipe(recipe)
        if parsed is not None and len(parsed.steps) == 1 and parsed.candidate is None:
            step = parsed.steps[0]
            found.append(_treatment(recipe, step, methods.get(step.method, BY_NAME)))
    return tuple(found)


def scope_groups(found: Iterable[Treatment], scopes: Sequence[str]) -> list[Mapping[str, str]]:
    """Group treatments that differ only in their scope.

    Args:
        scopes: Scopes that a group must have, without prefix.

    Returns:
        For each method with options, family of scopes and level that has all these scopes, the recipe of each.
    """
    groups: dict[tuple[str, str, Level | None], dict[str, str]] = {}
    for each in found:
        if each.place in scopes:
            groups.setdefault((each.method, each.family, each.level), {})[each.place] = each.recipe
    return [group for group in groups.values() if len(group) == len(scopes)]


def curves(found: Iterable[Treatment]) -> Mapping[tuple[str, str], tuple[Treatment, ...]]:
    """Group treatments by method with options and scope, ordered by level; only levels that are fractions."""
    groups: dict[tuple[str, str], list[Treatment]] = {}
    for each in found:
        if each.level is not None and 0 < each.level <= 1 and not each.facts.quantizes:
            groups.setdefault((each.method, each.scope), []).append(each)
    return {key: tuple(sorted(group, key=lambda each: float(each.level or 0))) for key, group in groups.items()}


def _treatment(recipe: str, step: Step, facts: MethodFacts) -> Treatment:
    options = "".join(f":{key}={value}" for key, value in step.options)
    return Treatment(recipe, f"{step.method}{options}", str(step.scope), step.level, facts)

"""What recipes have in common, read from their text: the same treatment in other scopes and at other levels."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from forgetmeter.errors import UserError
from forgetmeter.specs.method_facts import BY_NAME, MethodFacts, Methods
from forgetmeter.specs.recipe import Level, Recipe, Step, parse_recipe

BOTH = "overall"
ATTENTION = "attention"
FEED_FORWARD = "feed_forward"
HEAD = "head"
_PUBLISHED = "paper/"


@dataclass(frozen=True)
class Treatment:
    """A recipe of one step, taken apart.

    Attributes:
        recipe: The recipe, as text.
        method: The method and its options, as text.
        scope: The scope, as text; the published scripts' own scopes count as what they are called.
        level: The level; ``None`` where the method has none.
        facts: What the run knows about the method.
    """

    recipe: str
    method: str
    scope: str
    level: Level | None
    facts: MethodFacts

    @property
    def name(self) -> str:
        """The plain name of the method."""
        return self.method.partition(":")[0]

    @property
    def family(self) -> str:
        """What kind of scope it is: ``paper/`` for the published scripts' own, else nothing."""
        return _PUBLISHED if self.scope.startswith(_PUBLISHED) else ""

    @property
    def place(self) -> str:
        """The scope without what says whose it is."""
        return self.scope.removeprefix(_PUBLISHED)


def treatments(recipes: Iterable[str], methods: Methods) -> tuple[Treatment, ...]:
    """Return the recipes of one step; others, and what does not parse, are left out."""
    found = []
    for recipe in recipes:
        steps = _parsed(recipe).steps
        if len(steps) == 1:
            found.append(_treatment(recipe, steps[0], methods.get(steps[0].method, BY_NAME)))
    return tuple(found)


def scope_groups(found: Iterable[Treatment], scopes: Sequence[str]) -> list[Mapping[str, str]]:
    """Group treatments that differ in nothing but their scope.

    Args:
        found: Treatments.
        scopes: Those of interest, without what says whose they are.

    Returns:
        For each method with options, family of scopes and level, the recipe of each scope; only where all are there.
    """
    groups: dict[tuple[str, str, Level | None], dict[str, str]] = {}
    for each in found:
        if each.place in scopes:
            groups.setdefault((each.method, each.family, each.level), {})[each.place] = each.recipe
    return [group for group in groups.values() if len(group) == len(scopes)]


def curves(found: Iterable[Treatment]) -> Mapping[tuple[str, str], tuple[Treatment, ...]]:
    """Group treatments by method with options and scope, in the order of their levels; fractions only."""
    groups: dict[tuple[str, str], list[Treatment]] = {}
    for each in found:
        if each.level is not None and 0 < each.level <= 1 and not each.facts.quantizes:
            groups.setdefault((each.method, each.scope), []).append(each)
    return {key: tuple(sorted(group, key=lambda each: float(each.level or 0))) for key, group in groups.items()}


def _treatment(recipe: str, step: Step, facts: MethodFacts) -> Treatment:
    options = "".join(f":{key}={value}" for key, value in step.options)
    return Treatment(recipe, f"{step.method}{options}", str(step.scope), step.level, facts)


def _parsed(recipe: str) -> Recipe:
    try:
        return parse_recipe(recipe)
    except UserError:
        # A run may hold recipes of a plug-in that writes them in ways of its own.
        return Recipe()

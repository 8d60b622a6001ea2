"""Entries in a study's list of recipes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import product
from math import prod
from typing import Any

from forgetmeter.errors import UserError
from forgetmeter.specs.model_reference import ModelReference, engine_reference, parse_model_reference
from forgetmeter.specs.preset import PREFIX, preset_recipes
from forgetmeter.specs.recipe import Recipe, Step, make_step, parse_recipe
from forgetmeter.specs.scope import Scope, parse_scope, regex_scope
from forgetmeter.specs.suggestion import did_you_mean, unknown

_FORMS = "text, {grid: …}, {steps: […]} or {method: …, scope: …, level: …}"
_KINDS = ("grid", "steps", "method")
_STEP_KEYS = ("method", "scope", "level")
_OF, _IS, _RECIPES = _CANDIDATE_KEYS = ("of", "is", "recipes")
_CANDIDATE_FORMS = "a model, {of: BASELINE, is: [MODEL, …], recipes: [RECIPE, …]}, or {engine: NAME, key: value, …}"
_ENGINE = "engine"
_MOST_RECIPES = 100_000


@dataclass(frozen=True)
class Candidates:
    """One entry of a study's list of candidates.

    Attributes:
        of: The baseline; ``None`` for the study's only model.
        recipes: Each candidate as it is, and under each recipe given for it.
    """

    of: ModelReference | None
    recipes: tuple[Recipe, ...]

    @property
    def references(self) -> tuple[ModelReference, ...]:
        """The candidates' models."""
        return tuple(dict.fromkeys(recipe.candidate for recipe in self.recipes if recipe.candidate is not None))


def recipes_of(entry: Any) -> tuple[Recipe, ...]:  # noqa: ANN401 - any YAML value
    """Return the recipes of one entry.

    Raises:
        UserError: The entry is not valid.
    """
    if isinstance(entry, str):
        if entry.startswith(PREFIX):
            return preset_recipes(entry.removeprefix(PREFIX))
        return (parse_recipe(entry),)
    if not isinstance(entry, Mapping):
        raise UserError(f"'{entry}' is not a valid recipe; write {_FORMS}")
    if "grid" in entry:
        _only(entry, ("grid",))
        return tuple(Recipe((step,)) for step in _grid(entry["grid"]))
    if "steps" in entry:
        _only(entry, ("steps",))
        if not isinstance(entry["steps"], list) or not entry["steps"]:
            raise UserError("steps must be a non-empty list of {method: …, scope: …, level: …}")
        return (Recipe(tuple(_step(step) for step in entry["steps"])),)
    if "method" in entry:
        return (Recipe((_step(entry),)),)
    key = next(iter(entry), "")
    raise UserError(f"unknown key '{key}' in a recipe{did_you_mean(str(key), _KINDS)} (allowed: {', '.join(_KINDS)})")


def candidates_of(entry: Any) -> Candidates:  # noqa: ANN401 - any YAML value
    """Return the candidates of one entry.

    Raises:
        UserError: The entry is not valid.
    """
    if isinstance(entry, str) or _is_engine(entry):
        return Candidates(None, (Recipe(candidate=_candidate(entry)),))
    if not isinstance(entry, Mapping) or _IS not in entry:
        raise UserError(f"'{entry}' is not a valid candidate; write {_CANDIDATE_FORMS}")
    for key in entry:
        if key not in _CANDIDATE_KEYS:
            raise UserError(unknown("key", str(key), _CANDIDATE_KEYS, within="a candidate"))
    of, made = entry.get(_OF), entry[_IS] if isinstance(entry[_IS], list) else [entry[_IS]]
    on_top = entry.get(_RECIPES, [])
    if (
        not made
        or not all(isinstance(each, str) or _is_engine(each) for each in made)
        or not isinstance(of, str | None)
    ):
        raise UserError(f"'{entry}' is not a valid candidate; write {_CANDIDATE_FORMS}")
    if not isinstance(on_top, list):
        raise UserError(f"recipes of a candidate must be a list, not '{on_top}'")
    steps = dict.fromkeys([(), *(recipe.steps for each in on_top for recipe in recipes_of(each))])
    return Candidates(
        None if of is None else parse_model_reference(of),
        tuple(Recipe(each, reference) for reference in map(_candidate, made) for each in steps),
    )


def _is_engine(entry: Any) -> bool:  # noqa: ANN401
    return isinstance(entry, Mapping) and isinstance(entry.get(_ENGINE), str)


def _candidate(entry: str | Mapping[str, Any]) -> ModelReference:
    if isinstance(entry, str):
        return parse_model_reference(entry)
    arguments = {key: value for key, value in entry.items() if key != _ENGINE}
    if "recipes" in arguments:
        raise UserError(f"recipes cannot be applied to the answers of engine '{entry[_ENGINE]}'; leave them out")
    for key, value in arguments.items():
        if not isinstance(key, str) or not isinstance(value, (bool, int, float, str)):
            raise UserError(f"argument {key}={value} of engine '{entry[_ENGINE]}' must be a single value")
    return engine_reference(entry[_ENGINE], arguments)


def _only(entry: Mapping[str, Any], allowed: tuple[str, ...]) -> None:
    for key in entry:
        if key not in allowed:
            raise UserError(f"unknown key '{key}' next to '{allowed[0]}' in a recipe (allowed: {', '.join(allowed)})")


def _grid(grid: Any) -> Iterator[Step]:  # noqa: ANN401
    if not isinstance(grid, Mapping) or "method" not in grid or "scope" not in grid:
        raise UserError("a grid needs method and scope, such as {method: l1_unstructured, scope: [head], level: [0.1]}")
    lists = [value if isinstance(value, list) else [value] for value in grid.values()]
    for key, listed in zip(grid, lists, strict=True):
        if not listed:
            raise UserError(f"{key} of the grid is empty; give at least one value")
    if (number := prod(map(len, lists))) > _MOST_RECIPES:
        raise UserError(f"the grid has {number:,} recipes; at most {_MOST_RECIPES:,} are allowed")
    for values in product(*lists):
        yield _step(dict(zip(grid, values, strict=True)))


def _step(entry: Any) -> Step:  # noqa: ANN401
    if not isinstance(entry, Mapping) or not isinstance(entry.get("method"), str) or "scope" not in entry:
        raise UserError(f"'{entry}' is not a valid step; write {{method: …, scope: …, level: …}}")
    level = entry.get("level")
    if level is not None and (isinstance(level, bool) or not isinstance(level, (int, float))):
        raise UserError(f"level of method '{entry['method']}' must be a number, not '{level}'")
    options = {key: value for key, value in entry.items() if key not in _STEP_KEYS}
    for key, value in options.items():
        if isinstance(value, list) and (singular := str(key).removesuffix("s")) in _STEP_KEYS:
            raise UserError(f"unknown key '{key}' in a step; did you mean '{singular}'? To try several, use a grid")
        if not isinstance(key, str) or not isinstance(value, (bool, int, float, str)):
            raise UserError(f"option {key}={value} of method '{entry['method']}' must be a single value")
    return make_step(method=entry["method"], scope=_scope(entry["scope"]), level=level, options=options.items())


def _scope(value: Any) -> Scope:  # noqa: ANN401
    if isinstance(value, Mapping) and list(value) == ["regex"] and isinstance(value["regex"], str):
        return regex_scope(value["regex"])
    if isinstance(value, str):
        return parse_scope(value)
    if isinstance(value, list):
        raise UserError(f"a step has one scope, not a list of {len(value)}; to try several, use a grid")
    raise UserError(f"'{value}' is not a valid scope; write a name such as attention, or {{regex: PATTERN}}")

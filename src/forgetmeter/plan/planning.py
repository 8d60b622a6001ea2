"""Plans the cells of a study."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass

from forgetmeter.config.study import Study
from forgetmeter.errors import UserError
from forgetmeter.records.cell import Cell, Variant
from forgetmeter.records.stop_rule import StopRule
from forgetmeter.specs.model_reference import ModelReference
from forgetmeter.specs.recipe import parse_recipe

# Part of every id: increase it whenever the same request would be answered differently, together with the schema
# version of runs, because an id of an unknown engine is not recognized.
_ENGINE = 1
_ID_LENGTH = 12


@dataclass(frozen=True)
class Plan:
    """The cells of a study, in the order of execution.

    Attributes:
        study: The study.
        variants: Every model under every recipe, then its candidates, model by model.
        cells: Every variant on every task, variant by variant.
    """

    study: Study
    variants: tuple[Variant, ...]
    cells: tuple[Cell, ...]

    @property
    def stop(self) -> StopRule | None:
        """When a cell may stop before its last item; ``None`` if never."""
        return self.study.evaluation.stop_rule(checks=sum(not cell.variant.recipe.is_baseline for cell in self.cells))


def make_plan(study: Study, identities: Mapping[ModelReference, str]) -> Plan:
    """Plan a study, given the content hash of each model and candidate.

    Raises:
        UserError: Two models, or a candidate and its baseline or another of its candidates, have the same content.
    """
    _refuse_same(study.models, identities)
    for model in study.models:
        made = dict.fromkeys(each.candidate for each in study.recipes_of(model) if each.candidate is not None)
        if same := [candidate for candidate in made if identities[candidate] == identities[model]]:
            raise UserError(f"candidate '{same[0]}' has the same content as its baseline '{model}'; remove it")
        _refuse_same(made, identities)
    evaluation = study.evaluation
    variants = tuple(
        Variant(
            _variant_id(
                _ENGINE,
                identities[model],
                recipe.identity("" if recipe.candidate is None else identities[recipe.candidate]),
                evaluation.dtype,
                evaluation.seed,
            ),
            model,
            recipe,
        )
        for model in study.models
        for recipe in study.recipes_of(model)
    )
    return Plan(study, variants, tuple(Cell(variant, task) for variant in variants for task in study.tasks))


def _refuse_same(models: Iterable[ModelReference], identities: Mapping[ModelReference, str]) -> None:
    names: dict[str, ModelReference] = {}
    for model in models:
        if (other := names.setdefault(identities[model], model)) != model:
            raise UserError(f"models '{other}' and '{model}' have the same content; keep only one")


def is_variant_id(found: str, content: Mapping[str, str], model: str, recipe: str, *, dtype: str, seed: int) -> bool:
    """Return whether this or an earlier version gives a variant this id.

    Args:
        found: The id.
        content: Content hashes of models and candidates by name.
        model: The model's name.
        recipe: The recipe as text.
    """
    identity = content[model]
    with suppress(UserError):
        parsed = parse_recipe(recipe)
        recipe = parsed.identity(content.get(str(parsed.candidate), ""))
    return any(found == _variant_id(engine, identity, recipe, dtype, seed) for engine in range(1, _ENGINE + 1))


def _variant_id(engine: int, identity: str, recipe: str, dtype: str, seed: int) -> str:
    content = [engine, identity, recipe, dtype, seed]
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()[:_ID_LENGTH]

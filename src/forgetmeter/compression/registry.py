"""The registry of compression methods: built-in ones and plug-ins."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from forgetmeter.errors import UserError
from forgetmeter.specs.recipe import Recipe, Step
from forgetmeter.specs.registry import Registry
from forgetmeter.specs.suggestion import unknown

if TYPE_CHECKING:
    from forgetmeter.compression.method import Method

METHODS = Registry(
    "method",
    "forgetmeter.methods",
    {
        name: f"forgetmeter.compression.methods.{name}:METHOD"
        for name in (
            "awq",
            "cast",
            "drop_layers",
            "dynamic_int8",
            "gptq",
            "hqq",
            "int4_weight_only_torchao",
            "int8_dynamic_torchao",
            "l1_heads",
            "l1_unstructured",
            "ln_structured",
            "lora_recover",
            "n_m",
            "nf4",
            "random_structured",
            "random_unstructured",
            "round_to_nearest",
            "smoothquant",
            "sparsegpt",
            "svd",
            "wanda",
        )
    },
)
"""The methods: a plug-in's entry point is ``NAME = "package.module:METHOD"``."""
_CALIBRATED = ("awq", "gptq", "lora_recover", "smoothquant", "sparsegpt", "wanda")
_CHOOSING = (("drop_layers", ("by", "influence")),)


def method_names() -> tuple[str, ...]:
    """Return the names of all methods without importing them: built-in ones, then plug-ins, each sorted.

    Raises:
        UserError: The name of a plug-in is already taken.
    """
    return tuple(METHODS.entries())


def load_method(name: str) -> Method:
    """Import the method called ``name``.

    Raises:
        UserError: The method is unknown, the name of a plug-in is already taken, or a plug-in cannot be loaded.
    """
    if name not in (entries := METHODS.entries()):
        raise UserError(unknown("method", name, entries))
    method: Method = METHODS.load(name)
    if name not in METHODS.built_in:
        METHODS.check_name(name, getattr(getattr(method, "declaration", None), "name", None))
    return method


def declared_problems(step: Step) -> list[str]:
    """Return one sentence per problem with a step's method, level and options, which needs no model."""
    try:
        return load_method(step.method).declaration.problems(step)
    except UserError as error:
        return [str(error)]


def needs_texts(recipe: Recipe) -> bool:
    """Return whether a step of a recipe needs activations; imports no built-in method, which takes seconds."""
    for step in recipe.steps:
        if step.method in METHODS.built_in:
            if step.method in _CALIBRATED or any((step.method, option) in _CHOOSING for option in step.options):
                return True
        elif (method := load_method(step.method)).needs_activations(method.declaration.values(step)):
            return True
    return False


def drops_blocks(recipe: Recipe) -> bool:
    """Return whether a step of a recipe drops whole blocks."""
    return any(load_method(step.method).declaration.kind == "blocks" for step in recipe.steps)


def rounds_activations(recipe: Recipe) -> bool:
    """Return whether a recipe's layers round activations, so that texts share less than those of the baseline."""
    return any(load_method(step.method).declaration.rounds_activations for step in recipe.steps)


def packing_methods() -> Iterator[str]:
    """Yield the methods whose weights a checkpoint can store as packed integers; broken plug-ins are left out."""
    for name in METHODS.entries():
        with suppress(UserError):
            if load_method(name).declaration.packs is not None:
                yield name


def recorded_facts(recipes: Iterable[Recipe]) -> dict[str, dict[str, Any]]:
    """Return the facts about the recipes' methods for ``study.json``, so that a run can be read without them."""
    names = dict.fromkeys(step.method for recipe in recipes for step in recipe.steps)
    return {name: asdict(load_method(name).declaration.facts) for name in names}


def advised_plug_ins() -> Iterator[str]:
    """Yield the recipes that plug-ins suggest to ``advise``; plug-ins that cannot be loaded are left out."""
    for name in METHODS.entries():
        if name in METHODS.built_in:
            continue
        with suppress(UserError):
            for level in load_method(name).declaration.advised_levels:
                yield f"{name}:overall{'' if level is None else f':{level}'}"

"""The methods there are: the built-in ones, and those of plug-ins."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import asdict
from typing import Any

from forgetmeter.compression.method import Method
from forgetmeter.errors import UserError
from forgetmeter.specs.recipe import Recipe
from forgetmeter.specs.registry import Registry
from forgetmeter.specs.suggestion import unknown

METHODS = Registry(
    "method",
    "forgetmeter.methods",
    {
        name: f"forgetmeter.compression.methods.{name}:METHOD"
        for name in (
            "cast",
            "drop_layers",
            "dynamic_int8",
            "int4_weight_only_torchao",
            "int8_dynamic_torchao",
            "l1_heads",
            "l1_unstructured",
            "ln_structured",
            "n_m",
            "random_structured",
            "random_unstructured",
            "round_to_nearest",
            "svd",
        )
    },
)
"""The methods: a plug-in's entry point is ``NAME = "package.module:METHOD"``."""


def method_names() -> tuple[str, ...]:
    """Return the names of all methods: the built-in ones, then those of plug-ins, each sorted. Imports none of them.

    Raises:
        UserError: A plug-in takes the name of another method.
    """
    return tuple(METHODS.entries())


def load_method(name: str) -> Method:
    """Import the method called ``name``.

    Raises:
        UserError: There is no such method, a plug-in takes the name of another method, or it does not load.
    """
    if name not in (entries := METHODS.entries()):
        raise UserError(unknown("method", name, entries))
    method: Method = METHODS.load(name)
    if name not in METHODS.built_in:
        METHODS.check_name(name, getattr(getattr(method, "declaration", None), "name", None))
    return method


def recorded_facts(recipes: Iterable[Recipe]) -> dict[str, dict[str, Any]]:
    """Return what ``study.json`` records about the methods of recipes, so that a run explains itself without them."""
    names = dict.fromkeys(step.method for recipe in recipes for step in recipe.steps)
    return {name: asdict(load_method(name).declaration.facts) for name in names}


def advised_plug_ins() -> Iterator[str]:
    """Yield the recipes that plug-ins ask ``advise`` to try; those that do not load are left out."""
    for name in [name for name in METHODS.entries() if name not in METHODS.built_in]:
        with suppress(UserError):
            for level in load_method(name).declaration.advised_levels:
                yield f"{name}:overall{'' if level is None else f':{level}'}"

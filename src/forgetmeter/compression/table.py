"""The table of compression methods: built-in ones and plug-ins."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import asdict
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import Any, cast

from forgetmeter.compression.method import Method
from forgetmeter.errors import UserError
from forgetmeter.specs.recipe import Recipe
from forgetmeter.specs.suggestion import unknown

GROUP = "forgetmeter.methods"
"""The entry-point group of plug-ins: ``NAME = "package.module:METHOD"``."""

BUILT_IN = {
    "cast": "forgetmeter.compression.methods.cast:METHOD",
    "drop_layers": "forgetmeter.compression.methods.drop_layers:METHOD",
    "dynamic_int8": "forgetmeter.compression.methods.dynamic_int8:METHOD",
    "int4_weight_only_torchao": "forgetmeter.compression.methods.int4_weight_only_torchao:METHOD",
    "int8_dynamic_torchao": "forgetmeter.compression.methods.int8_dynamic_torchao:METHOD",
    "l1_heads": "forgetmeter.compression.methods.l1_heads:METHOD",
    "l1_unstructured": "forgetmeter.compression.methods.l1_unstructured:METHOD",
    "ln_structured": "forgetmeter.compression.methods.ln_structured:METHOD",
    "n_m": "forgetmeter.compression.methods.n_m:METHOD",
    "random_structured": "forgetmeter.compression.methods.random_structured:METHOD",
    "random_unstructured": "forgetmeter.compression.methods.random_unstructured:METHOD",
    "round_to_nearest": "forgetmeter.compression.methods.round_to_nearest:METHOD",
    "svd": "forgetmeter.compression.methods.svd:METHOD",
}


def method_names() -> tuple[str, ...]:
    """Return the names of all methods without importing them: built-in ones, then plug-ins, each sorted.

    Raises:
        UserError: The name of a plug-in is already taken.
    """
    return tuple(_entries())


def load_method(name: str) -> Method:
    """Import the method called ``name``.

    Raises:
        UserError: The method is unknown, the name of a plug-in is already taken, or a plug-in cannot be loaded.
    """
    entries = _entries()
    if name not in entries:
        raise UserError(unknown("method", name, entries))
    return _load_built_in(name) if name in BUILT_IN else _load_plug_in(entries[name])


@cache
def plug_ins() -> tuple[EntryPoint, ...]:
    """Return the entry points of plug-ins, sorted by name; cached, since this scans every installed package."""
    return tuple(sorted(entry_points(group=GROUP), key=lambda plug_in: plug_in.name))


def recorded_facts(recipes: Iterable[Recipe]) -> dict[str, dict[str, Any]]:
    """Return the facts about the recipes' methods for ``study.json``, so that a run can be read without them."""
    names = dict.fromkeys(step.method for recipe in recipes for step in recipe.steps)
    return {name: asdict(load_method(name).declaration.facts) for name in names}


def advised_plug_ins() -> Iterator[str]:
    """Yield the recipes that plug-ins suggest to ``advise``; plug-ins that cannot be loaded are left out."""
    for entry in plug_ins():
        with suppress(UserError):
            for level in load_method(entry.name).declaration.advised_levels:
                yield f"{entry.name}:overall{'' if level is None else f':{level}'}"


def _entries() -> dict[str, EntryPoint]:
    entries = {name: EntryPoint(name, target, GROUP) for name, target in sorted(BUILT_IN.items())}
    for entry in plug_ins():
        taken = entries.get(entry.name)
        if taken is not None and taken.value != entry.value:
            raise UserError(
                f"plug-in {entry.value} calls its method '{entry.name}', which is the name of {taken.value}; "
                f"give it another name in its entry point of group {GROUP}, or uninstall it"
            )
        entries[entry.name] = entry
    return entries


@cache
def _load_built_in(name: str) -> Method:
    return cast("Method", EntryPoint(name, BUILT_IN[name], GROUP).load())


def _load_plug_in(entry: EntryPoint) -> Method:
    try:
        method = entry.load()
    except (ImportError, AttributeError) as error:
        raise UserError(f"method '{entry.name}': its plug-in {entry.value} does not load: {error}") from error
    declared = getattr(getattr(method, "declaration", None), "name", None)
    if declared != entry.name:
        raise UserError(f"method '{entry.name}': its plug-in {entry.value} calls itself {declared!r}; make them agree")
    return cast("Method", method)

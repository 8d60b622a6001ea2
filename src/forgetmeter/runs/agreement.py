"""Checks that each file of a run is what its path says; an edited or misplaced file is not."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from itertools import product
from typing import Any

from forgetmeter.errors import UserError
from forgetmeter.plan.planning import is_variant_id

Names = Mapping[str, tuple[str, str]]
"""Model and recipe of each variant by id; empty if the study does not list its variants."""


def names_of(study: Mapping[str, Any]) -> Names:
    """Return the variants that ``study.json`` lists."""
    return {each["id"]: (each["model"], each["recipe"]) for each in study.get("variants", ())}


def is_named(names: Names, variant_id: str, model: str, recipe: str) -> bool:
    """Return whether a file's variant has the same id in these, or is of another model or recipe than all of them."""
    pair = (model, recipe)
    return names[variant_id] == pair if variant_id in names else pair not in names.values()


def is_at(path: str, place: Callable[..., str], *of: str) -> bool:
    """Return whether ``path`` is the place of a file with this content, such as a variant's id and a task."""
    with suppress(UserError):
        return place(*of) == path
    return False


def is_consistent(study: Mapping[str, Any]) -> bool:
    """Return whether the variants of ``study.json``, if listed, are its models and recipes, with their ids."""
    listed, identity = study.get("variants"), study["identity"]
    if not listed:
        return True
    pairs = [(each["model"], each["recipe"]) for each in listed]
    planned = [
        *product(identity.get("models", ()), identity.get("recipes", ())),
        *((model, recipe) for model, recipes in identity.get("candidates", {}).items() for recipe in recipes),
    ]
    return (
        sorted(pairs) == sorted(planned)
        and len(names_of(study)) == len(pairs)
        and all(_has_its_id(each, identity) for each in listed)
    )


def _has_its_id(variant: Mapping[str, str], identity: Mapping[str, Any]) -> bool:
    content, evaluation = identity.get("model_content") or {}, identity.get("evaluation") or {}
    if variant["model"] not in content or not evaluation.keys() >= {"dtype", "seed"}:
        return True
    return is_variant_id(
        variant["id"],
        content,
        variant["model"],
        variant["recipe"],
        dtype=evaluation["dtype"],
        seed=evaluation["seed"],
    )

"""The unit that is planned, run, stored and resumed."""

from __future__ import annotations

from dataclasses import dataclass

from forgetmeter.specs.model_reference import ModelReference
from forgetmeter.specs.recipe import Recipe


@dataclass(frozen=True)
class Variant:
    """One model under one recipe.

    Attributes:
        id: Hash of the model's content, the recipe and whatever of the evaluation changes its answers.
        model: Where the model comes from.
        recipe: What is done to it.
    """

    id: str
    model: ModelReference
    recipe: Recipe


@dataclass(frozen=True)
class Cell:
    """One variant on one task."""

    variant: Variant
    task: str

"""Variants and cells: the units that are planned, run, stored and resumed."""

from __future__ import annotations

from dataclasses import dataclass

from forgetmeter.specs.model_reference import ModelReference
from forgetmeter.specs.recipe import Recipe


@dataclass(frozen=True)
class Variant:
    """One model under one recipe, or a candidate compared with it.

    Attributes:
        id: Hash of the model's content, the recipe and the evaluation settings that change its answers.
        model: The model's reference.
        recipe: The recipe applied to it.
    """

    id: str
    model: ModelReference
    recipe: Recipe

    @property
    def source(self) -> ModelReference:
        """The model whose weights the steps are applied to."""
        return self.recipe.candidate or self.model


@dataclass(frozen=True)
class Cell:
    """One variant on one task."""

    variant: Variant
    task: str

"""What a study may name: the seam through which the study file is checked against what there is."""

from __future__ import annotations

from typing import Protocol

from forgetmeter.specs.model_reference import ModelReference
from forgetmeter.specs.recipe import Recipe


class Vocabulary(Protocol):
    """Says what is wrong with a name or recipe, a sentence each; nothing where all is well."""

    def recipe_problems(self, recipe: Recipe) -> list[str]:
        """Check methods, levels and options."""
        ...

    def task_problems(self, name: str) -> list[str]:
        """Check a task's canonical name: the task and its options."""
        ...

    def model_problems(self, reference: ModelReference) -> list[str]:
        """Check that a model can be found."""
        ...


class AnythingGoes:
    """The vocabulary that knows no names: only the form of a study is checked, and nothing heavy is imported."""

    def recipe_problems(self, recipe: Recipe) -> list[str]:  # noqa: ARG002
        """Find nothing wrong."""
        return []

    def task_problems(self, name: str) -> list[str]:  # noqa: ARG002
        """Find nothing wrong."""
        return []

    def model_problems(self, reference: ModelReference) -> list[str]:  # noqa: ARG002
        """Find nothing wrong."""
        return []

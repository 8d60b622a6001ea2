"""The names a study may use."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from forgetmeter.specs.model_reference import ModelReference
from forgetmeter.specs.recipe import Recipe


class Vocabulary(Protocol):
    """Checks names and recipes; methods return one sentence per problem, or an empty list."""

    def recipe_problems(self, recipe: Recipe) -> list[str]:
        """Check methods, levels and options."""
        ...

    def task_problems(self, name: str, folders: Sequence[str]) -> list[str]:
        """Check a canonical task name, including its options; ``folders`` are the study's task folders."""
        ...

    def model_problems(self, reference: ModelReference) -> list[str]:
        """Check that a model can be found."""
        ...


class PermissiveVocabulary:
    """Accepts every name, so that only the form of a study is checked, without heavy imports."""

    def recipe_problems(self, recipe: Recipe) -> list[str]:  # noqa: ARG002
        """Accept the recipe."""
        return []

    def task_problems(self, name: str, folders: Sequence[str]) -> list[str]:  # noqa: ARG002
        """Accept the task."""
        return []

    def model_problems(self, reference: ModelReference) -> list[str]:  # noqa: ARG002
        """Accept the model."""
        return []

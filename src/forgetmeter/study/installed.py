"""The methods, tasks and models available on this machine, to check studies against."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from forgetmeter.compression.registry import METHODS, declared_problems
from forgetmeter.errors import UserError
from forgetmeter.models.location import Location, locate
from forgetmeter.probes.loading import group_problems
from forgetmeter.specs.model_reference import ModelReference
from forgetmeter.specs.recipe import Recipe


class InstalledVocabulary:
    """The methods (including plug-ins), tasks and models available on this machine.

    Args:
        data: Data folder of the probes, if given.
        locations: Locations of models; each checked model is added.
        names_only: Whether to check only the names of methods, which takes no import of torch.
    """

    def __init__(
        self, data: Path | None, locations: dict[ModelReference, Location], *, names_only: bool = False
    ) -> None:
        self._data = data
        self._locations = locations
        self._names_only = names_only

    def recipe_problems(self, recipe: Recipe) -> list[str]:
        """Check the method, level and options of each step."""
        if self._names_only and all(step.method in METHODS.entries() for step in recipe.steps):
            return []
        return [f"{problem} (in '{step}')" for step in recipe.steps for problem in declared_problems(step)]

    def task_problems(self, name: str, folders: Sequence[str]) -> list[str]:
        """Check a task's name, options and data."""
        return group_problems(name, data=self._data, folders=folders)

    def model_problems(self, reference: ModelReference) -> list[str]:
        """Find the model, and remember its location."""
        try:
            self._locations[reference] = self._locations.get(reference) or locate(reference)
        except UserError as error:
            return [str(error)]
        return []

"""What this installation has, for checking a study."""

from __future__ import annotations

from pathlib import Path

from forgetmeter.errors import UserError
from forgetmeter.models.location import Location, locate
from forgetmeter.probes.loading import task_problems
from forgetmeter.specs.model_reference import ModelReference
from forgetmeter.specs.recipe import Recipe


class InstalledVocabulary:
    """What this installation has: methods (plug-ins too), tasks, and models on this machine.

    Args:
        data: The data folder of the probes, where it was named.
        locations: Where models are; those that are asked about are added.
    """

    def __init__(self, data: Path | None, locations: dict[ModelReference, Location]) -> None:
        self._data = data
        self._locations = locations

    def recipe_problems(self, recipe: Recipe) -> list[str]:
        """Check methods, levels and options of each step."""
        # Imports torch, a second that a finished study, or a missing file, does not wait for.
        from forgetmeter.compression.table import load_method

        found: list[str] = []
        for step in recipe.steps:
            try:
                problems = load_method(step.method).declaration.problems(step)
            except UserError as error:
                problems = [str(error)]
            found.extend(f"{problem} (in '{step}')" for problem in problems)
        return found

    def task_problems(self, name: str) -> list[str]:
        """Check a task's name and options, and that the data it needs is there."""
        return task_problems(name, data=self._data)

    def model_problems(self, reference: ModelReference) -> list[str]:
        """Find the model, and remember where."""
        try:
            self._locations[reference] = self._locations.get(reference) or locate(reference)
        except UserError as error:
            return [str(error)]
        return []

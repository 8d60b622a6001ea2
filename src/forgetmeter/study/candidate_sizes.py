"""How many bytes a model takes under each of many recipes, without asking it anything."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property

from forgetmeter.analysis.advice import Sized
from forgetmeter.checkpoints.promise import Promises
from forgetmeter.compression.applying.compressor import Compressor
from forgetmeter.config.study import Evaluation
from forgetmeter.errors import UserError
from forgetmeter.executors.calibration import calibration_for
from forgetmeter.models.loading import load
from forgetmeter.models.location import Location
from forgetmeter.specs.recipe import Recipe


def candidate_sizes(
    location: Location, recipes: Sequence[Recipe], evaluation: Evaluation, *, before: Callable[[Recipe], None]
) -> tuple[int, dict[str, Sized], dict[str, str]]:
    """Count the bytes that ``compress`` would write of each recipe; of those that it cannot write, those in memory.

    Args:
        location: Where the model is.
        recipes: The recipes; they were checked.
        evaluation: Its dtype, device and seed.
        before: Is called with each recipe before its bytes are counted.

    Returns:
        The bytes of the model's own files of weights; sizes by recipe; and, by recipe, why one could not be applied.
    """
    promises, memory = Promises(str(location.reference)), _Memory(location, recipes, evaluation)
    sizes: dict[str, Sized] = {}
    problems: dict[str, str] = {}
    for recipe in recipes:
        before(recipe)
        try:
            promise = promises.of(recipe)
            size = promise.bytes if promise.format else memory.bytes(recipe)
        except UserError as error:
            problems[str(recipe)] = str(error)
        else:
            sizes[str(recipe)] = Sized(str(recipe), size, promise.format, promise.why)
    return promises.bytes_before, sizes, problems


class _Memory:
    """What variants take in memory, in the smallest way that there is; the model is loaded once it is needed."""

    def __init__(self, location: Location, recipes: Sequence[Recipe], evaluation: Evaluation) -> None:
        self._location, self._recipes, self._evaluation = location, recipes, evaluation

    def bytes(self, recipe: Recipe) -> int:
        smallest = self._compressor.compressed(recipe).reached.smallest_bytes
        assert smallest is not None
        return smallest

    @cached_property
    def _compressor(self) -> Compressor:
        loaded = load(self._location, dtype=self._evaluation.dtype, device=self._evaluation.device)
        calibration = calibration_for(loaded, set(self._recipes))
        return Compressor(loaded, seed=self._evaluation.seed, calibration=calibration)

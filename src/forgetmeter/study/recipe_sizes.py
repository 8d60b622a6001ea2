"""Checks which recipes fit a model, and computes its size under each, without evaluating it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property

from forgetmeter.checkpoints.compressing import refuse_quantized
from forgetmeter.checkpoints.predicted_size import SizePredictor
from forgetmeter.compression.applying.compressor import Compressor
from forgetmeter.compression.applying.recipe_problems import recipe_problems, recipes_of_unknown, unknown_role_problem
from forgetmeter.config.study import Evaluation, Study
from forgetmeter.errors import UserError
from forgetmeter.executors.calibration import calibration_for
from forgetmeter.models.checkpoint import Checkpoint
from forgetmeter.models.loading import load, resolve_device
from forgetmeter.models.location import Location
from forgetmeter.results.advice import Sized
from forgetmeter.specs.recipe import Recipe


def checked_recipes(location: Location, study: Study) -> tuple[Checkpoint, dict[Recipe, list[str]], str]:
    """Open a model, and return it with the problems of each recipe except the baseline, and that of unknown roles.

    The last comes with examples of recipes that have no such problem; it is empty if the model has no such weights.

    Raises:
        UserError: The device is not available, the model cannot be loaded, or it is already quantized.
    """
    resolve_device(study.evaluation.device)
    checkpoint = Checkpoint(location)
    refuse_quantized(checkpoint)
    checkpoint.check()
    steps = (recipe for recipe in study.recipes if recipe.steps)
    matrices, skeleton = checkpoint.matrices, checkpoint.skeleton
    problems = {recipe: recipe_problems(recipe, matrices, model=skeleton) for recipe in steps}
    unknown_role = unknown_role_problem(matrices)
    if unknown_role:
        examples = " or ".join(f"'{text}'" for text in recipes_of_unknown(matrices))
        unknown_role += f"; with --recipes, name recipes whose scope needs no role, such as {examples}"
    return checkpoint, problems, unknown_role


def recipe_sizes(
    checkpoint: Checkpoint, recipes: Sequence[Recipe], evaluation: Evaluation, *, on_advance: Callable[[int], None]
) -> tuple[int, dict[str, Sized], dict[str, str]]:
    """Compute the size that ``compress`` would write for each recipe, or the size in memory if it cannot write it.

    Args:
        checkpoint: The model.
        recipes: The recipes.
        evaluation: How variants in memory are loaded.
        on_advance: Receives the number of recipes that are done.

    Returns:
        The bytes of the model's own weight files; the sizes by recipe; the errors of recipes that cannot be applied.
    """
    predictor, memory = SizePredictor(checkpoint), _Memory(checkpoint, recipes, evaluation)
    sizes: dict[str, Sized] = {}
    problems: dict[str, str] = {}
    for done, recipe in enumerate(recipes, 1):
        try:
            predicted = predictor.of(recipe)
            size = predicted.bytes if predicted.format else memory.bytes(recipe)
        except UserError as error:
            problems[str(recipe)] = str(error)
        else:
            sizes[str(recipe)] = Sized(str(recipe), size, predicted.format, predicted.why)
        on_advance(done)
    return predictor.bytes_before, sizes, problems


class _Memory:
    """Sizes of variants in memory, each matrix in its smallest format; loads the model on first use."""

    def __init__(self, checkpoint: Checkpoint, recipes: Sequence[Recipe], evaluation: Evaluation) -> None:
        self._checkpoint, self._recipes, self._evaluation = checkpoint, recipes, evaluation

    def bytes(self, recipe: Recipe) -> int:
        smallest = self._compressor.compressed(recipe).reached.smallest_bytes
        assert smallest is not None
        return smallest

    @cached_property
    def _compressor(self) -> Compressor:
        loaded = load(self._checkpoint, dtype=self._evaluation.dtype, device=self._evaluation.device)
        calibration = calibration_for(loaded, set(self._recipes), self._evaluation.calibration)
        return Compressor(loaded, seed=self._evaluation.seed, calibration=calibration)

"""How many bytes a model takes under each of many recipes, without asking it anything."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from forgetmeter.analysis.advice import Sized
from forgetmeter.compression.compressor import Compressor
from forgetmeter.config.study import Evaluation
from forgetmeter.errors import UserError
from forgetmeter.executors.calibration import calibration_for
from forgetmeter.models.loading import load
from forgetmeter.models.location import Location
from forgetmeter.specs.recipe import Recipe


def candidate_sizes(
    location: Location, recipes: Sequence[Recipe], evaluation: Evaluation, *, before: Callable[[Recipe], None]
) -> tuple[int, dict[str, Sized], dict[str, str]]:
    """Compress a model by each recipe and count its bytes.

    Args:
        location: Where the model is.
        recipes: The recipes; they were checked.
        evaluation: Its dtype, device and seed.
        before: Is called with each recipe before it is applied.

    Returns:
        The bytes of the model as it is; sizes by recipe; and, by recipe, why one could not be applied.
    """
    loaded = load(location, dtype=evaluation.dtype, device=evaluation.device)
    compressor = Compressor(loaded, seed=evaluation.seed, calibration=calibration_for(loaded, set(recipes)))
    dense = compressor.compressed(Recipe()).reached.dense_bytes
    sizes: dict[str, Sized] = {}
    problems: dict[str, str] = {}
    for recipe in recipes:
        before(recipe)
        try:
            reached = compressor.compressed(recipe).reached
        except UserError as error:
            problems[str(recipe)] = str(error)
        else:
            smallest = reached.smallest_bytes
            assert smallest is not None
            sizes[str(recipe)] = Sized(str(recipe), smallest, reached.simulated)
    return dense, sizes, problems

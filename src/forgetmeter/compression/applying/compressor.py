"""Recipes applied to a model."""

from __future__ import annotations

import copy
import time
from collections import OrderedDict
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

from forgetmeter.compression.applying.accounting import account, count_baseline
from forgetmeter.compression.applying.recipe_problems import activation_problems, recipe_problems, sees_activations
from forgetmeter.compression.applying.step import dropped_blocks, own_weights, prepared, selected_units, unit_by_unit
from forgetmeter.compression.applying.unit import Unit
from forgetmeter.compression.calibrated.activations import Activations, Calibration, Keep, in_memory
from forgetmeter.compression.forms.weight import Weight
from forgetmeter.compression.method import AtLevel
from forgetmeter.compression.registry import load_method
from forgetmeter.compression.surgery.installation import installed
from forgetmeter.config.study import MAX_SEED
from forgetmeter.errors import UserError, refuse
from forgetmeter.models.checks.torch_compression import torch_compression_problem
from forgetmeter.models.family import auto_class
from forgetmeter.models.loaded import Loaded, check_loaded
from forgetmeter.models.on_disk.quantization import float32_bytes, quantization_in_memory, quantized_problem
from forgetmeter.models.roles.weight_map import weight_map
from forgetmeter.models.safe_loading.pretrained import empty_model
from forgetmeter.records.variant import Reached
from forgetmeter.specs.recipe import Recipe, Step, parse_recipe
from forgetmeter.specs.role import Block, Matrix

_PREPARATIONS_KEPT = 4


@dataclass(frozen=True)
class Compressed:
    """A model's weights under a recipe.

    Attributes:
        weights: The matrices that the recipe's scopes select, after compression; no others.
        reached: The sparsity and size reached.
        seconds: Duration of the compression, excluding the time for counting zeros and bytes.
    """

    weights: Mapping[Matrix, Weight]
    reached: Reached
    seconds: float


class Compressor:
    """Compresses one model with many recipes without changing its own weights.

    The work that a method shares between levels is cached for the last few steps that work on the model's own weights,
    so that a grid of levels costs one ranking pass per scope.

    Attributes:
        matrices: The model's weight matrices.
    """

    def __init__(self, loaded: Loaded, *, seed: int = 0, calibration: Calibration = (), kept: Keep = in_memory) -> None:
        """Take a model, which must have nothing installed.

        Args:
            loaded: The model.
            seed: Seed for random methods.
            calibration: Calls of the model, for methods that need activations.
            kept: Puts a compressed weight where there is room for it.

        Raises:
            UserError: The seed is not an integer from 0 to 2^63 - 1, or torch itself has compressed the model.
        """
        is_packed = quantization_in_memory(loaded.model) is not None
        if not is_packed and (problem := torch_compression_problem(loaded)):
            raise UserError(problem)
        self._calibration, self._kept = calibration, kept
        self._loaded = loaded
        self._seed = checked_seed(seed)
        self.matrices = weight_map(loaded.model)
        self._originals = own_weights(loaded.model, self.matrices)
        tensors = [parameter.detach() for parameter in loaded.model.parameters()]
        # Tensors made in inference mode do not track changes.
        self._own = [tensor for tensor in tensors if not tensor.is_inference()]
        self._versions = [tensor._version for tensor in self._own]
        self._baseline = count_baseline(loaded.model, self.matrices, loaded.weight_bytes)
        if is_packed:
            # Packed integers are counted as the floating-point numbers that they stand for.
            plain = empty_model(
                loaded.name, auto_class(loaded.family, loaded.model.config.model_type), loaded.model.config
            )
            self._baseline = replace(self._baseline, total_bytes=float32_bytes(plain))
        self._preparations: OrderedDict[Step, AtLevel] = OrderedDict()

    def check(self, recipe: Recipe) -> list[str]:
        """Return one sentence per problem with a recipe for this model; nothing is computed."""
        return _problems(recipe, self._loaded, self._originals, self._calibration)

    def changed(self, recipe: Recipe, dropped: Collection[Block | None] | None = None) -> set[Matrix]:
        """Return the matrices that a recipe changes; nothing is computed.

        Args:
            recipe: The recipe.
            dropped: The blocks that it drops. If they are not known yet because they depend on activations, the
                last blocks are assumed.
        """
        gone = dropped_blocks(recipe, self._originals) if dropped is None else dropped
        scopes = [step.scope for step in recipe.steps if load_method(step.method).declaration.kind != "blocks"]
        changed = {matrix for scope in scopes for matrix in scope.select(self._originals)}
        return changed | {matrix for matrix in self._originals if matrix.block in gone and matrix.block is not None}

    def compressed(self, recipe: Recipe) -> Compressed:
        """Apply the steps from left to right, each to the result of the previous ones. The model does not change.

        The recipe must fit the model: ``check`` finds no problem.

        Raises:
            UserError: A matrix holds values that a method cannot work on, or the model's own weights were changed in
                place.
        """
        self._check_untouched()
        started = time.perf_counter()
        weights: dict[Matrix, Weight] = {}
        for step in recipe.steps:
            weights.update(self._after_step(step, weights))
        seconds = time.perf_counter() - started
        self._check_untouched()
        return Compressed(weights, account(self._baseline, weights, weights), seconds)

    @contextmanager
    def applied(self, recipe: Recipe) -> Iterator[Compressed]:
        """Apply a recipe to the model for the duration of a ``with`` block.

        Raises:
            UserError: As for ``compressed``.
        """
        compressed = self.compressed(recipe)
        with installed(self._loaded.model, compressed.weights):
            yield compressed

    def _check_untouched(self) -> None:
        if [tensor._version for tensor in self._own] != self._versions:
            raise UserError(
                f"the weights of {self._loaded.name} were changed in place, by a method or by other code; load "
                "the model again"
            )

    def _after_step(self, step: Step, weights: Mapping[Matrix, Weight]) -> dict[Matrix, Weight]:
        units = selected_units(step, self._originals, weights)
        # Activations depend on all weights.
        before = (
            weights if sees_activations(step) else {each for unit in units for each in unit.matrices if each in weights}
        )
        is_first = not before

        def prepare() -> AtLevel:
            return self._shared(step, units) if is_first else self._prepare(step, units, weights)

        done: dict[Matrix, Weight] = {}
        for unit, weight in unit_by_unit(
            units, prepare, step, model=self._loaded.name, stored=self._loaded.weight_bytes
        ):
            done.update(unit.split(self._kept(weight)))
        return done

    def _shared(self, step: Step, units: Sequence[Unit]) -> AtLevel:
        """Prepare a step on the model's own weights; the result is cached and shared by recipes."""
        key = replace(step, level=None)
        if key in self._preparations:
            self._preparations.move_to_end(key)
        else:
            self._preparations[key] = self._prepare(step, units, {})
            if len(self._preparations) > _PREPARATIONS_KEPT:
                self._preparations.popitem(last=False)
        return self._preparations[key]

    def _prepare(self, step: Step, units: Sequence[Unit], weights: Mapping[Matrix, Weight]) -> AtLevel:
        method = load_method(step.method)
        options = method.declaration.values(step)
        if method.needs_activations(options):
            loaded = self._loaded
            activations = Activations(loaded.model, self._calibration, weights, loaded.tokenizer, self._kept)
            method = method.calibrated(activations)
        return prepared(step, units, seed=self._seed, method=method)


def _problems(
    recipe: Recipe, loaded: Loaded, originals: Mapping[Matrix, Weight], calibration: Calibration
) -> list[str]:
    method = quantization_in_memory(loaded.model)
    if recipe.steps and method is not None:
        return [quantized_problem(loaded.name, method)]
    if recipe.steps and (problem := torch_compression_problem(loaded)):
        return [problem]
    problems = recipe_problems(recipe, tuple(originals), model=loaded.model, originals=originals)
    return problems or ([] if calibration else activation_problems(recipe))


def checked_seed(seed: int) -> int:
    """Return a seed that every random generator takes.

    Raises:
        UserError: It is not an integer from 0 to 2^63 - 1.
    """
    if type(seed) is not int or not 0 <= seed <= MAX_SEED:
        raise UserError(f"seed {seed!r} is not valid; it must be an integer from 0 to {MAX_SEED}")
    return seed


def compress(loaded: Loaded, recipe: Recipe | str, *, seed: int = 0, calibration: Calibration = ()) -> Loaded:
    """Return a compressed copy of a model; the original does not change.

    A tied head is untied in the copy, and in its configuration, if the recipe compresses it. The copy's name is
    ``NAME+RECIPE``.

    Args:
        loaded: The model.
        recipe: The recipe, as a value or as text, such as ``l1_unstructured:overall:0.5``.
        seed: Seed for random methods.
        calibration: Inputs for methods that need activations, such as ``[{"input_ids": ids}]``.

    Raises:
        UserError: ``loaded`` is not a loaded model, or torch itself has compressed it; the recipe does not parse or
            does not fit the model; or the seed is not valid.
    """
    check_loaded(loaded)
    recipe = recipe if isinstance(recipe, Recipe) else parse_recipe(recipe)
    refuse(_problems(recipe, loaded, own_weights(loaded.model, weight_map(loaded.model)), calibration))
    checked_seed(seed)
    if not recipe.steps:
        return replace(loaded, model=copy.deepcopy(loaded.model))
    compressor = Compressor(loaded, seed=seed, calibration=calibration)
    with compressor.applied(recipe):
        # Copied last, because calibration needs memory of its own. Tensors that no method changed are not shared.
        return replace(loaded, model=copy.deepcopy(loaded.model), name=f"{loaded.name}+{recipe}")

"""Recipes applied to a model."""

from __future__ import annotations

import copy
import time
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

from forgetmeter.compression.accounting import account, count_baseline
from forgetmeter.compression.installation import install, installed
from forgetmeter.compression.method import AtLevel, Method
from forgetmeter.compression.table import load_method
from forgetmeter.compression.unusable_weight import UnusableWeightError
from forgetmeter.compression.weight import DenseWeight, Weight
from forgetmeter.errors import ManyUserError, UserError
from forgetmeter.models.loaded import Loaded
from forgetmeter.models.weight_map import weight_map
from forgetmeter.records.variant import Reached
from forgetmeter.specs.recipe import Recipe, Step, parse_recipe
from forgetmeter.specs.role import Matrix

_PREPARATIONS_KEPT = 4


@dataclass(frozen=True)
class Compressed:
    """What a recipe makes of a model's weights.

    Attributes:
        weights: The matrices that the recipe's scopes select, as it leaves them; no others.
        reached: What it really did.
        seconds: Time that compressing took, without the counting.
    """

    weights: Mapping[Matrix, Weight]
    reached: Reached
    seconds: float


class Compressor:
    """Compresses one model by many recipes, and never changes the weights it was loaded with.

    What a method can do once for all levels is kept for the last few first steps (those that work on the
    model's own weights), so that a grid of levels costs one ranking pass a scope.
    """

    def __init__(self, loaded: Loaded, *, seed: int = 0) -> None:
        """Take note of the model's weights; nothing may be installed in it at this time.

        Args:
            loaded: The model.
            seed: For methods that draw at random.
        """
        self._loaded = loaded
        self._seed = seed
        self._matrices = weight_map(loaded.model)
        self._originals: dict[Matrix, Weight] = {
            matrix: DenseWeight(loaded.model.get_parameter(matrix.parameter).detach()) for matrix in self._matrices
        }
        self._baseline = count_baseline(loaded.model, self._matrices)
        self._preparations: OrderedDict[Step, AtLevel] = OrderedDict()

    def check(self, recipe: Recipe) -> list[str]:
        """Return what is wrong with a recipe for this model, as ``recipe_problems`` does."""
        return recipe_problems(recipe, self._matrices)

    def compressed(self, recipe: Recipe) -> Compressed:
        """Apply the steps from left to right, each to what the ones before it left. The model stays as it is.

        Raises:
            UserError: ``check`` finds a problem, or a matrix holds values that a method cannot work on.
        """
        _raise_all(self.check(recipe))
        started = time.perf_counter()
        weights: dict[Matrix, Weight] = {}
        for step in recipe.steps:
            weights.update(self._after_step(step, weights))
        seconds = time.perf_counter() - started
        return Compressed(weights, account(self._baseline, weights, weights), seconds)

    @contextmanager
    def applied(self, recipe: Recipe) -> Iterator[Compressed]:
        """Have the model under a recipe for the length of a ``with`` block.

        Raises:
            UserError: As ``compressed``.
        """
        compressed = self.compressed(recipe)
        with installed(self._loaded.model, compressed.weights):
            yield compressed

    def _after_step(self, step: Step, weights: Mapping[Matrix, Weight]) -> dict[Matrix, Weight]:
        selected = step.scope.select(self._matrices)
        done: dict[Matrix, Weight] = {}
        try:
            at_level = self._prepared(step, selected, weights)
            for matrix, weight in zip(selected, at_level(step.level), strict=True):
                done[matrix] = weight
        except UnusableWeightError as error:
            matrix = selected[len(done) if error.position is None else error.position]
            raise UserError(f"{matrix.parameter} of {self._loaded.name} {error.reason}") from error
        return done

    def _prepared(self, step: Step, selected: Sequence[Matrix], weights: Mapping[Matrix, Weight]) -> AtLevel:
        if any(matrix in weights for matrix in selected):
            return self._prepare(step, [weights.get(matrix, self._originals[matrix]) for matrix in selected])
        # The step works on the model's own weights, so that other recipes can share what it found out.
        key = replace(step, level=None)
        if key in self._preparations:
            self._preparations.move_to_end(key)
        else:
            self._preparations[key] = self._prepare(step, [self._originals[matrix] for matrix in selected])
            if len(self._preparations) > _PREPARATIONS_KEPT:
                self._preparations.popitem(last=False)
        return self._preparations[key]

    def _prepare(self, step: Step, weights: Sequence[Weight]) -> AtLevel:
        method: Method = load_method(step.method)
        return method.prepare(weights, method.declaration.values(step), seed=self._seed)


def recipe_problems(recipe: Recipe, matrices: Sequence[Matrix]) -> list[str]:
    """Return what is wrong with a recipe for a model with these matrices, a sentence each.

    Nothing is computed, and the model need not be loaded: its ``weight_map`` says enough.
    """
    return list(dict.fromkeys(problem for step in recipe.steps for problem in _step_problems(step, matrices)))


def _step_problems(step: Step, matrices: Sequence[Matrix]) -> list[str]:
    try:
        found = load_method(step.method).declaration.problems(step)
    except UserError as error:
        found = [str(error)]
    if not step.scope.select(matrices):
        roles = ", ".join(dict.fromkeys(str(matrix.role) for matrix in matrices)) or "none"
        found.append(f"scope '{step.scope}' selects no weight matrix of the model (it has: {roles})")
    return found


def compress(loaded: Loaded, recipe: Recipe | str) -> Loaded:
    """Return a copy of a model under a recipe; the one given stays as it is.

    A tied output projection is untied in the copy if the recipe compresses it, and the copy's configuration
    says so. The copy's name is the first one's and the recipe's.

    Args:
        loaded: The model.
        recipe: What to do, as a value or as text, such as ``l1_unstructured:overall:0.5``.

    Raises:
        UserError: The recipe does not parse or does not fit the model.
    """
    if isinstance(recipe, str):
        recipe = parse_recipe(recipe)
    _raise_all(recipe_problems(recipe, weight_map(loaded.model)))
    twin = replace(loaded, model=copy.deepcopy(loaded.model))
    install(twin.model, Compressor(twin).compressed(recipe).weights)
    return replace(twin, name=f"{loaded.name}+{recipe}") if recipe.steps else twin


def _raise_all(problems: Sequence[str]) -> None:
    if len(problems) == 1:
        raise UserError(problems[0])
    if problems:
        raise ManyUserError(list(problems))

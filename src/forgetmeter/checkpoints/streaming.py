"""Compresses a checkpoint one tensor at a time: the model is never fully in memory."""

from __future__ import annotations

import functools
from collections import defaultdict
from collections.abc import Mapping
from itertools import groupby, islice

import torch
from torch import Tensor

from forgetmeter.checkpoints.outputs import Output
from forgetmeter.checkpoints.scratch import FreedMemory, Scratch
from forgetmeter.checkpoints.source import StoredModel
from forgetmeter.checkpoints.storage import Storage
from forgetmeter.compression.applying.accounting import Baseline, UnitAccount, account_unit, account_units, count_zeros
from forgetmeter.compression.applying.recipe_problems import needs_float32
from forgetmeter.compression.applying.step import prepared, selected_units, unit_by_unit
from forgetmeter.compression.applying.unit import Unit, joined
from forgetmeter.compression.forms.weight import Weight
from forgetmeter.models.files.writer import CheckpointWriter
from forgetmeter.records.variant import Reached
from forgetmeter.specs.recipe import Recipe
from forgetmeter.specs.role import Matrix


def compress_stored(stored: StoredModel, recipe: Recipe, sink: Sink, scratch: Scratch, *, seed: int) -> Reached:
    """Apply the steps of a recipe from left to right, and store every tensor after its last step.

    Raises:
        UserError: A matrix holds values that a method cannot work on, or a file is truncated.
        OSError: The disk is full or fails.
    """
    originals = stored.originals(torch.float32 if needs_float32(recipe) else None)
    widths = {matrix.parameter: stored.meta_tensor(matrix.parameter).dtype.itemsize for matrix in stored.matrices}
    weights: dict[Matrix, Weight] = {}
    freed = FreedMemory()
    for number, step in enumerate(recipe.steps):
        later = {
            matrix.parameter for after in recipe.steps[number + 1 :] for matrix in after.scope.select(stored.matrices)
        }
        units = selected_units(step, originals, weights)
        prepare = functools.partial(prepared, step, units, seed=seed)
        results = unit_by_unit(units, prepare, step, model=stored.name, stored=widths)
        for parameter, group in groupby(units, key=lambda unit: unit.parameter):
            is_final = parameter not in later
            # Stop after this parameter: reading the next one would evict its tensor, which is read again below.
            for unit, weight in islice(results, len(list(group))):
                weights.update(unit.split(weight if is_final else scratch.kept(weight)))
            if is_final:
                sink.put(parameter, _pop(weights, parameter))
            freed.record(stored.bytes(parameter))
        # Exhausting the iterator raises if the step changed nothing.
        next(results, None)
    # Those of dropped blocks.
    return sink.finish(weights)


def _pop(weights: dict[Matrix, Weight], parameter: str) -> dict[Matrix, Weight]:
    return {matrix: weights.pop(matrix) for matrix in list(weights) if matrix.parameter == parameter}


class Sink:
    """Stores finished tensors and counts their zeros and bytes."""

    def __init__(
        self, stored: StoredModel, outputs: Mapping[str, Output], storage: Storage, writer: CheckpointWriter
    ) -> None:
        """Start with all output tensors pending."""
        self._writer = writer
        self._stored = stored
        self._left = dict(outputs)
        self._storage = storage
        self._zeros: dict[Matrix, int] = {}
        self._accounts: list[UnitAccount] = []
        self._weight_bytes = {matrix: stored.meta_tensor(matrix.parameter).dtype.itemsize for matrix in stored.matrices}
        self._matrices: dict[str, list[Matrix]] = defaultdict(list)
        for matrix in stored.matrices:
            self._matrices[stored.keys[matrix.parameter]].append(matrix)

    def put(self, parameter: str, weights: Mapping[Matrix, Weight]) -> None:
        """Count a parameter of which some or all matrices were compressed, and store it unless it was dropped."""
        old = self._stored.read(parameter)
        self._count(parameter, old)
        units = [Unit(unit.matrices, unit.weight.loaded()) for unit in joined(weights.items())]
        self._accounts += [account_unit(unit, self._weight_bytes) for unit in units]
        if not any(unit.weight.is_dropped for unit in units):
            self._storage.put(self._left.pop(parameter), old, units, self._writer)

    def finish(self, weights: Mapping[Matrix, Weight]) -> Reached:
        """Put the weights that are left, then store all tensors that the recipe does not change.

        Returns:
            What was reached.
        """
        left = dict(weights)
        for parameter in dict.fromkeys(matrix.parameter for matrix in weights):
            self.put(parameter, _pop(left, parameter))
        self._copy_untouched()
        return self._reached()

    def _copy_untouched(self) -> None:
        """Store all tensors that the recipe does not change, and count those of dropped blocks."""
        for parameter, output in self._left.items():
            tensor = self._stored.read(parameter)
            self._count(parameter, tensor)
            self._storage.copy(output, tensor, self._writer)
        for matrix in self._stored.matrices:
            if matrix not in self._zeros:
                self._count(matrix.parameter, self._stored.read(matrix.parameter))

    def _reached(self) -> Reached:
        baseline = Baseline(self._stored.matrices, self._zeros, self._weight_bytes, self._stored.total_bytes)
        selected = [matrix for account in self._accounts for matrix in account.zeros]
        return account_units(baseline, selected, self._accounts)

    def _count(self, parameter: str, tensor: Tensor) -> None:
        for matrix in self._matrices[self._stored.keys[parameter]]:
            if matrix not in self._zeros:
                self._zeros[matrix] = count_zeros(tensor, matrix)

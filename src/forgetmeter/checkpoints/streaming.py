"""Compressing a checkpoint a tensor at a time: the model is never whole in memory."""

from __future__ import annotations

import ctypes
import functools
from collections import defaultdict
from collections.abc import Mapping
from contextlib import suppress
from itertools import groupby, islice

from torch import Tensor

from forgetmeter.checkpoints.outputs import Output
from forgetmeter.checkpoints.scratch import Scratch
from forgetmeter.checkpoints.source import StoredModel
from forgetmeter.checkpoints.storage import Storage
from forgetmeter.checkpoints.writer import CheckpointWriter
from forgetmeter.compression.accounting import Baseline, UnitAccount, account_unit, account_units, count_zeros
from forgetmeter.compression.deferred_weight import loaded_weight
from forgetmeter.compression.dropped_weight import is_dropped
from forgetmeter.compression.step import prepared, selected_units, unit_by_unit
from forgetmeter.compression.unit import Unit, joined
from forgetmeter.compression.weight import Weight
from forgetmeter.records.variant import Reached
from forgetmeter.specs.recipe import Recipe
from forgetmeter.specs.role import Matrix

_TRIMMED_EVERY = 32_000_000


class FreedMemory:
    """Has the C library give back what was freed, now and then.

    glibc keeps blocks of up to 32 MB for later. While tensors of many sizes come and go, what it keeps grows to a
    good part of all that went through it, which is the whole checkpoint.
    """

    def __init__(self) -> None:
        self._bytes = 0

    def worked_on(self, size: int) -> None:
        """Take note that tensors of so many bytes have come and gone."""
        self._bytes += size
        if self._bytes > _TRIMMED_EVERY:
            self._bytes = 0
            # Other C libraries have no such function, and no need of it.
            with suppress(AttributeError, OSError, TypeError):
                ctypes.CDLL(None).malloc_trim(0)


def compress_stored(stored: StoredModel, recipe: Recipe, sink: Sink, scratch: Scratch, *, seed: int) -> Reached:
    """Apply the steps of a recipe from left to right, and store every tensor once nothing more is done to it.

    Args:
        stored: The model.
        recipe: What to do; it was checked.
        sink: Stores tensors.
        scratch: Holds what steps before the last one leave.
        seed: For methods that draw at random.

    Returns:
        What was reached.

    Raises:
        UserError: A matrix holds values that a method cannot work on, or a file ends too early.
        OSError: The disk is full, or fails.
    """
    originals = stored.originals()
    weights: dict[Matrix, Weight] = {}
    freed = FreedMemory()
    for number, step in enumerate(recipe.steps):
        later = {
            matrix.parameter for after in recipe.steps[number + 1 :] for matrix in after.scope.select(stored.matrices)
        }
        units = selected_units(step, originals, weights)
        prepare = functools.partial(prepared, step, units, seed=seed)
        results = unit_by_unit(units, prepare, step, model=stored.name)
        for parameter, group in groupby(units, key=lambda unit: unit.parameter):
            is_final = parameter not in later
            # No further than to this parameter: the next one's tensor would take the place of the one that was read.
            for unit, weight in islice(results, len(list(group))):
                weights.update(unit.apart(weight if is_final else scratch.kept(weight)))
            if is_final:
                sink.put(parameter, _taken_out(weights, parameter))
            freed.worked_on(stored.bytes(parameter))
        # Whether the step changed anything is known behind the last one.
        next(results, None)
    sink.put_dropped(weights)
    sink.copy_rest()
    return sink.reached()


def _taken_out(weights: dict[Matrix, Weight], parameter: str) -> dict[Matrix, Weight]:
    return {matrix: weights.pop(matrix) for matrix in list(weights) if matrix.parameter == parameter}


class Sink:
    """Stores tensors as they are done, and counts them."""

    def __init__(
        self, stored: StoredModel, outputs: Mapping[str, Output], storage: Storage, writer: CheckpointWriter
    ) -> None:
        """Begin with all that has to be stored.

        Args:
            stored: The model.
            outputs: The tensors that there will be.
            storage: In which form they are stored.
            writer: Writes them.
        """
        self._writer = writer
        self._stored = stored
        self._left = dict(outputs)
        self._storage = storage
        self._zeros: dict[Matrix, int] = {}
        self._accounts: list[UnitAccount] = []
        self._weight_bytes = {matrix: stored.husk(matrix.parameter).dtype.itemsize for matrix in stored.matrices}
        self._matrices: dict[str, list[Matrix]] = defaultdict(list)
        for matrix in stored.matrices:
            self._matrices[stored.keys[matrix.parameter]].append(matrix)

    def put(self, parameter: str, weights: Mapping[Matrix, Weight]) -> None:
        """Store a parameter with what the recipe made of some or all of it; count it, where it was dropped."""
        old = self._stored.read(parameter)
        self._count(parameter, old)
        units = [Unit(unit.matrices, loaded_weight(unit.weight)) for unit in joined(weights.items())]
        self._accounts += [account_unit(unit, self._weight_bytes) for unit in units]
        if not any(is_dropped(unit.weight) for unit in units):
            self._storage.put(self._left.pop(parameter), old, units, self._writer)

    def put_dropped(self, weights: Mapping[Matrix, Weight]) -> None:
        """Count parameters that were dropped after or before other steps."""
        for parameter in dict.fromkeys(matrix.parameter for matrix in weights):
            self.put(parameter, {matrix: weight for matrix, weight in weights.items() if matrix.parameter == parameter})

    def copy_rest(self) -> None:
        """Store all that the recipe does not touch."""
        for parameter, output in self._left.items():
            tensor = self._stored.read(parameter)
            self._count(parameter, tensor)
            self._storage.copy(output, tensor, self._writer)

    def reached(self) -> Reached:
        """Say what was reached, once all is stored."""
        baseline = Baseline(self._stored.matrices, self._zeros, self._weight_bytes, self._stored.total_bytes)
        selected = [matrix for account in self._accounts for matrix in account.zeros]
        return account_units(baseline, selected, self._accounts)

    def _count(self, parameter: str, tensor: Tensor) -> None:
        for matrix in self._matrices[self._stored.keys[parameter]]:
            if matrix not in self._zeros:
                self._zeros[matrix] = count_zeros(tensor, matrix)

"""The seam for methods that have to know what their weights are: rows or columns, heads, blocks."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Protocol, runtime_checkable

from torch import Tensor

from forgetmeter.compression.applying.unit import Unit
from forgetmeter.compression.forms.weight import Weight
from forgetmeter.compression.lazy_tensors import LazyTensors
from forgetmeter.compression.method import AtLevel, Options, RankingFunction
from forgetmeter.specs.method import MethodDeclaration
from forgetmeter.specs.recipe import Level
from forgetmeter.specs.role import Matrix

Check = Callable[[Sequence[Matrix], Level | None, Options], Iterator[str]]
"""Says what is wrong with matrices for a level and options, a sentence each, before any work."""


@runtime_checkable
class UnitMethod(Protocol):
    """A compression method that looks at more than values, as the table holds it."""

    @property
    def declaration(self) -> MethodDeclaration:
        """The method's name and parameters."""
        ...

    def problems(
        self, matrices: Sequence[Matrix], level: Level | None, options: Options, *, model: Sequence[Matrix]
    ) -> Iterator[str]:
        """Say what is wrong with a step, a sentence each; the weights are not there yet.

        Args:
            matrices: What the step's scope selects.
            level: The step's level.
            options: All options.
            model: All matrices of the model.
        """
        ...

    def prepare_units(self, units: Sequence[Unit], options: Options, *, seed: int) -> AtLevel:
        """Do whatever work is the same for all levels, and return what is left to do for one.

        Must not change the weights.
        """
        ...


Block = tuple[str, int]
"""One block of a model: the name of the list that it is in, and its index there."""


@runtime_checkable
class CalibratedMethod(UnitMethod, Protocol):
    """A method that, with some options, has to see what flows through the model."""

    def needs_activations(self, options: Options) -> bool:
        """Whether weights alone are not enough."""
        ...

    def calibrated(self, influence: Mapping[Block, float]) -> UnitMethod:
        """Return the method with what was seen: the influence of each block of the model."""
        ...


def no_problems(_matrices: Sequence[Matrix], _level: Level | None, _options: Options) -> Iterator[str]:
    """Take any matrix."""
    return iter(())


@dataclass(frozen=True)
class OrientedPruningMethod:
    """A pruning method that has to know output units from input units.

    Its function sees each matrix as ``(output units, input units)``, whatever the layer stores, and those of
    experts as ``(experts, output units, input units)``. What is fused in one parameter and selected together is
    one matrix.
    """

    declaration: MethodDeclaration
    rank: RankingFunction
    check: Check = no_problems

    def problems(
        self,
        matrices: Sequence[Matrix],
        level: Level | None,
        options: Options,
        *,
        model: Sequence[Matrix],  # noqa: ARG002
    ) -> Iterator[str]:
        """Return what the method's own check finds."""
        return self.check(matrices, level, options)

    def prepare_units(self, units: Sequence[Unit], options: Options, *, seed: int) -> AtLevel:
        """Rank the weights once; each level only applies the masks."""
        masks_at = self.rank(LazyTensors([partial(_values, unit) for unit in units]), options, seed=seed)

        def at_level(level: Level | None) -> Iterator[Weight]:
            # A method without a level does all that it does.
            for unit, keep in zip(units, masks_at(1.0 if level is None else level), strict=True):
                yield unit.weight.masked(oriented(unit, keep))

        return at_level


class OrientedTransform(Protocol):
    """A method that takes each matrix by itself, as ``(…, output units, input units)``."""

    def __call__(self, values: Tensor, level: Level | None, options: Options) -> Weight:
        """Return the compressed weight in the same orientation; must not change the tensor."""
        ...


@dataclass(frozen=True)
class OrientedMatrixMethod:
    """A method that takes each matrix by itself and has to know output units from input units."""

    declaration: MethodDeclaration
    transform: OrientedTransform
    check: Check = no_problems

    def problems(
        self,
        matrices: Sequence[Matrix],
        level: Level | None,
        options: Options,
        *,
        model: Sequence[Matrix],  # noqa: ARG002
    ) -> Iterator[str]:
        """Return what the method's own check finds."""
        return self.check(matrices, level, options)

    def prepare_units(self, units: Sequence[Unit], options: Options, *, seed: int) -> AtLevel:  # noqa: ARG002
        """Nothing is shared between levels."""

        def at_level(level: Level | None) -> Iterator[Weight]:
            for unit in units:
                weight = self.transform(_values(unit), level, options)
                yield weight.transposed() if _is_turned(unit) else weight

        return at_level


def oriented(unit: Unit, tensor: Tensor) -> Tensor:
    """Turn what a layer stores to ``(…, output units, input units)``, or such a tensor back; a view."""
    return tensor.transpose(-2, -1) if _is_turned(unit) else tensor


def _is_turned(unit: Unit) -> bool:
    return unit.matrices[0].form == "conv1d"


def _values(unit: Unit) -> Tensor:
    return oriented(unit, unit.weight.values())

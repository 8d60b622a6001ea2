"""The interface of compression methods, and base classes that fit most of them.

A plug-in imports this module, and ``forgetmeter.specs.method`` for its declaration; it needs no other.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Literal, Protocol, Self, overload

import torch
from torch import Tensor

from forgetmeter.compression.applying.unit import Unit
from forgetmeter.compression.calibrated.activations import Activations
from forgetmeter.compression.calibrated.input_moments import InputMoments
from forgetmeter.compression.forms.weight import DenseWeight, Weight
from forgetmeter.errors import UserError
from forgetmeter.specs.method import MethodDeclaration
from forgetmeter.specs.recipe import Level, OptionValue
from forgetmeter.specs.role import Matrix

__all__ = ["AtLevel", "DenseWeight", "MasksAt", "MatrixMethod", "Method", "Options", "PruningMethod", "Unit", "Weight"]

Options = Mapping[str, OptionValue]

AtLevel = Callable[[Level | None], Iterator[Weight]]
"""Yields the compressed weights for a level, one per prepared unit, in order."""

Check = Callable[[Sequence[Matrix], Level | None, Options], Iterator[str]]
"""Yields one sentence per problem with the matrices, level and options, before any work."""


@dataclass(frozen=True)
class Method(ABC):
    """A compression method; only ``prepare`` must be implemented.

    Attributes:
        declaration: The method's name, parameters and wording in reports.
        check: Finds problems with a step from shapes alone.
    """

    declaration: MethodDeclaration
    check: Check | None = field(default=None, kw_only=True)

    def problems(
        self, matrices: Sequence[Matrix], level: Level | None, options: Options, *, model: Sequence[Matrix]
    ) -> Iterator[str]:
        """Return one sentence per problem with a step, before weights are loaded.

        Args:
            matrices: The matrices the step's scope selects.
            level: The step's level.
            options: All options.
            model: All matrices of the model.
        """
        del model
        return iter(()) if self.check is None else self.check(matrices, level, options)

    def needs_activations(self, options: Options) -> bool:  # noqa: ARG002
        """Whether the method needs activations besides weights; false by default."""
        return False

    def calibrated(self, activations: Activations) -> Method:  # noqa: ARG002
        """Return the method with the activations of the step's model; called if it needs them."""
        return self

    @abstractmethod
    def prepare(self, units: Sequence[Unit], options: Options, *, seed: int) -> AtLevel:
        """Do the work shared by all levels, and return a function that does the rest for one level.

        Must not change the weights.

        Args:
            units: Matrices; parts of a fused parameter that are selected together form one unit.
            options: All options.
            seed: Seed for random methods.
        """


Orientation = Literal["stored", "outputs_first"]
"""How a function sees matrices: as the layers store them, or as ``(…, output units, input units)``.

Experts are ``(experts, output units, input units)`` in both. Fused parts selected together are one matrix.
"""

MasksAt = Callable[[float], Iterator[Tensor]]
"""Yields the keep mask (bool) of each tensor for a level, in order."""


class Survivors(Protocol):
    """The weights to keep, represented without a mask."""

    def of(self, weight: Weight) -> Weight:
        """Return a new weight in the same form, with all others zeroed."""
        ...


class RankingFunction(Protocol):
    """A pruning method: reads all weights once, then returns the survivors at any level."""

    def __call__(
        self, tensors: Sequence[Tensor], options: Options, *, seed: int
    ) -> MasksAt | Callable[[float], Iterator[Tensor | Survivors]]:
        """Return a function from a level to each tensor's survivors, in order: keep masks (bool) or ``Survivors``."""
        ...


@dataclass(frozen=True)
class PruningMethod(Method):
    """A method that zeroes weights without changing the form of the rest.

    Attributes:
        rank: Ranks the weights; called with level 1 if the method has no level. Masks follow ``orientation``;
            ``Survivors`` receive weights as stored.
        orientation: How ``rank`` sees matrices.
    """

    rank: RankingFunction
    orientation: Orientation = "stored"

    def prepare(self, units: Sequence[Unit], options: Options, *, seed: int) -> AtLevel:
        """Rank the weights once; each level only zeroes."""
        turns = self.orientation == "outputs_first"
        makers = [partial(Unit.outputs_first, unit) if turns else unit.weight.values for unit in units]
        survivors_at = self.rank(LazyTensors(makers), options, seed=seed)

        def at_level(level: Level | None) -> Iterator[Weight]:
            for unit, keep in zip(units, survivors_at(1.0 if level is None else level), strict=True):
                if not isinstance(keep, Tensor):
                    yield keep.of(unit.weight)
                    continue
                mask = unit.turned(keep) if turns else keep
                if mask.dtype != torch.bool or mask.shape != unit.weight.shape:
                    raise UserError(
                        f"method '{self.declaration.name}' must return a bool mask of shape {unit.weight.shape} for "
                        f"{unit.parameter}; it returned {mask.dtype} of shape {tuple(mask.shape)}"
                    )
                yield unit.weight.masked(mask)

        return at_level


Transform = Callable[[Weight, Level | None, Options], Weight]
"""Returns a compressed weight; must not change its argument."""


@dataclass(frozen=True)
class MatrixMethod(Method):
    """A method that compresses each matrix independently, such as quantization.

    Attributes:
        transform: Compresses one matrix; receives dense weights if the orientation is ``outputs_first``.
        orientation: The orientation of what ``transform`` receives and returns.
    """

    transform: Transform
    orientation: Orientation = "stored"

    def prepare(self, units: Sequence[Unit], options: Options, *, seed: int) -> AtLevel:  # noqa: ARG002
        """Return the transform of each unit; levels share no work."""
        turns = self.orientation == "outputs_first"

        def at_level(level: Level | None) -> Iterator[Weight]:
            for unit in units:
                weight = self.transform(DenseWeight(unit.outputs_first()) if turns else unit.weight, level, options)
                yield weight.transposed() if turns and unit.is_transposed_layer else weight

        return at_level


@dataclass(frozen=True)
class ActivationsMethod(Method):
    """A method that works on the activations of the step's model, with all options or with some.

    Attributes:
        activations: The model with texts, if calibrated.
    """

    activations: Activations | None = field(default=None, kw_only=True)

    def needs_activations(self, options: Options) -> bool:  # noqa: ARG002
        """True by default."""
        return True

    def calibrated(self, activations: Activations) -> Self:
        """Return the method with its activations."""
        return replace(self, activations=activations)


class CompressLayer(Protocol):
    """A calibrated method: compresses one linear layer, given its inputs."""

    def __call__(self, weight: Tensor, inputs: InputMoments, level: Level | None, options: Options) -> Tensor | Weight:
        """Return a keep mask (bool), new values, or a new weight, all ``(output units, input units)``.

        Args:
            weight: float32, ``(output units, input units)``; must not be changed.
            inputs: Inputs of the layer on the calibration texts; without positions if none of them reaches it.
            level: The step's level.
            options: All options.
        """
        ...


@dataclass(frozen=True)
class CalibratedMethod(ActivationsMethod):
    """A method that compresses linear layers block by block, by their inputs on calibration texts.

    Attributes:
        compress: Compresses one layer.
        has_products: Whether it needs ``InputMoments.products``.
    """

    compress: CompressLayer
    has_products: bool = False

    def prepare(self, units: Sequence[Unit], options: Options, *, seed: int) -> AtLevel:  # noqa: ARG002
        """Return a function that compresses block by block; levels share no work, as their inputs differ."""
        activations = self.activations
        assert activations is not None, "the compressor calibrates methods that need activations"

        def at_level(level: Level | None) -> Iterator[Weight]:
            def compress(unit: Unit, inputs: InputMoments) -> Weight:
                found = self.compress(unit.outputs_first().float(), inputs, level, options)
                if not isinstance(found, Tensor):
                    return found.transposed() if unit.is_transposed_layer else found
                turned = unit.turned(found)
                if turned.dtype == torch.bool:
                    return unit.weight.masked(turned)
                return unit.weight.rewritten(turned)

            yield from activations.compressed(units, compress, has_products=self.has_products)

        return at_level


class LazyTensors(Sequence[Tensor]):
    """A sequence of tensors computed on access, so that dequantized copies do not accumulate."""

    def __init__(self, makers: Sequence[Callable[[], Tensor]]) -> None:
        """Take one function per tensor, which computes it."""
        self._makers = makers

    def __len__(self) -> int:
        return len(self._makers)

    @overload
    def __getitem__(self, index: int) -> Tensor: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Tensor]: ...
    def __getitem__(self, index: int | slice) -> Tensor | Sequence[Tensor]:
        if isinstance(index, slice):
            return LazyTensors(self._makers[index])
        return self._makers[index]()

"""The seam for compression methods: what a plug-in implements, and the shapes that most methods have.

This is the one module that a plug-in imports, beside ``forgetmeter.specs.method`` for its declaration.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Literal, Protocol, overload

import torch
from torch import Tensor

from forgetmeter.compression.applying.unit import Unit
from forgetmeter.compression.forms.weight import DenseWeight, Weight
from forgetmeter.errors import UserError
from forgetmeter.specs.method import MethodDeclaration
from forgetmeter.specs.recipe import Level, OptionValue
from forgetmeter.specs.role import Block, Matrix

__all__ = ["AtLevel", "DenseWeight", "MasksAt", "MatrixMethod", "Method", "Options", "PruningMethod", "Unit", "Weight"]

Options = Mapping[str, OptionValue]

AtLevel = Callable[[Level | None], Iterator[Weight]]
"""Gives the compressed weights for a level, one for each unit that was prepared, in order."""

Check = Callable[[Sequence[Matrix], Level | None, Options], Iterator[str]]
"""Yields what is wrong with matrices for a level and options, a sentence each, before any work."""


@dataclass(frozen=True)
class Method(ABC):
    """A compression method; only ``prepare`` has to be written.

    Attributes:
        declaration: The method's name and parameters, and what the rest of the package says about it.
        check: Finds what is wrong with a step from shapes alone.
    """

    declaration: MethodDeclaration
    check: Check | None = field(default=None, kw_only=True)

    def problems(
        self, matrices: Sequence[Matrix], level: Level | None, options: Options, *, model: Sequence[Matrix]
    ) -> Iterator[str]:
        """Return what is wrong with a step, a sentence each, before the weights are there.

        Args:
            matrices: What the step's scope selects.
            level: The step's level.
            options: All options.
            model: All matrices of the model.
        """
        del model
        return iter(()) if self.check is None else self.check(matrices, level, options)

    def needs_activations(self, options: Options) -> bool:  # noqa: ARG002
        """Whether weights alone are not enough; by default they are."""
        return False

    def calibrated(self, influence: Mapping[Block, float]) -> Method:  # noqa: ARG002
        """Return the method with the measured influence of each block; called if it needs activations."""
        return self

    @abstractmethod
    def prepare(self, units: Sequence[Unit], options: Options, *, seed: int) -> AtLevel:
        """Do whatever work is the same for all levels, and return what is left to do for one.

        Must not change the weights.

        Args:
            units: Matrices; the parts of a fused parameter that are selected together are one unit.
            options: All options.
            seed: For methods that draw at random.
        """


Orientation = Literal["stored", "outputs_first"]
"""How a function sees matrices: as the layers store them, or as ``(…, output units, input units)``.

Those of experts are ``(experts, output units, input units)`` in either. What is fused in one parameter and selected
together is one matrix.
"""

MasksAt = Callable[[float], Iterator[Tensor]]
"""Gives the keep masks (bool) of all tensors for a level, in order."""


class Survivors(Protocol):
    """Selects the weights that stay, without a mask."""

    def of(self, weight: Weight) -> Weight:
        """Return a new weight in the same form, with zeros in place of all others."""
        ...


class RankingFunction(Protocol):
    """A pruning method: looks at all weights once, then gives the survivors for any level."""

    def __call__(
        self, tensors: Sequence[Tensor], options: Options, *, seed: int
    ) -> MasksAt | Callable[[float], Iterator[Tensor | Survivors]]:
        """Return a function from a level to the survivors of each tensor, in order: keep masks (bool) will do."""
        ...


@dataclass(frozen=True)
class PruningMethod(Method):
    """A method that zeroes weights and leaves the form of the others as it is.

    Attributes:
        rank: Ranks the weights. A method without a level is asked for level 1. Masks are in its orientation;
            ``Survivors`` are asked about weights as they are stored.
        orientation: How ``rank`` sees matrices.
    """

    rank: RankingFunction
    orientation: Orientation = "stored"

    def prepare(self, units: Sequence[Unit], options: Options, *, seed: int) -> AtLevel:
        """Rank the weights once; each level only zeroes what does not survive."""
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
                        f"method '{self.declaration.name}' must give a mask of bool and shape {unit.weight.shape} for "
                        f"{unit.parameter}; it gave {mask.dtype} of shape {tuple(mask.shape)}"
                    )
                yield unit.weight.masked(mask)

        return at_level


Transform = Callable[[Weight, Level | None, Options], Weight]
"""Returns a compressed weight; must not change the one given."""


@dataclass(frozen=True)
class MatrixMethod(Method):
    """A method that takes each matrix by itself, such as quantization.

    Attributes:
        transform: Compresses a matrix. What is seen with outputs first is plain weights.
        orientation: How ``transform`` sees matrices, and returns them.
    """

    transform: Transform
    orientation: Orientation = "stored"

    def prepare(self, units: Sequence[Unit], options: Options, *, seed: int) -> AtLevel:  # noqa: ARG002
        """Nothing is shared between levels."""
        turns = self.orientation == "outputs_first"

        def at_level(level: Level | None) -> Iterator[Weight]:
            for unit in units:
                weight = self.transform(DenseWeight(unit.outputs_first()) if turns else unit.weight, level, options)
                yield weight.transposed() if turns and unit.is_turned else weight

        return at_level


class LazyTensors(Sequence[Tensor]):
    """A sequence of tensors, each computed on access, so that dequantized copies do not pile up."""

    def __init__(self, makers: Sequence[Callable[[], Tensor]]) -> None:
        """Take a function that computes each tensor."""
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

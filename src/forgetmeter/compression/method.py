"""The seam for compression methods."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from torch import Tensor

from forgetmeter.compression.forms.weight import Weight
from forgetmeter.compression.lazy_tensors import LazyTensors
from forgetmeter.specs.method import MethodDeclaration
from forgetmeter.specs.recipe import Level, OptionValue

Options = Mapping[str, OptionValue]

AtLevel = Callable[[Level | None], Iterator[Weight]]
"""Gives the compressed weights for a level, one for each weight that was prepared, in order."""


class Method(Protocol):
    """A compression method, as the table holds it."""

    @property
    def declaration(self) -> MethodDeclaration:
        """The method's name and parameters."""
        ...

    def prepare(self, weights: Sequence[Weight], options: Options, *, seed: int) -> AtLevel:
        """Do whatever work is the same for all levels, and return what is left to do for one.

        Must not change ``weights``.
        """
        ...


class Survivors(Protocol):
    """Says which weights stay without a mask of them."""

    def of(self, weight: Weight) -> Weight:
        """Return a new weight in the same form, with zeros in place of all others."""
        ...


class RankingFunction(Protocol):
    """A pruning method: looks at all weights once, then gives the survivors for any level."""

    def __call__(
        self, tensors: Sequence[Tensor], options: Options, *, seed: int
    ) -> Callable[[float], Iterator[Tensor] | Iterator[Tensor | Survivors]]:
        """Return a function from a level to the survivors of each tensor, in order: keep masks (bool) will do."""
        ...


@dataclass(frozen=True)
class PruningMethod:
    """A method that zeroes weights and leaves the form of the others as it is."""

    declaration: MethodDeclaration
    rank: RankingFunction

    def prepare(self, weights: Sequence[Weight], options: Options, *, seed: int) -> AtLevel:
        """Rank the weights once; each level only zeroes what does not survive."""
        survivors_at = self.rank(LazyTensors([weight.values for weight in weights]), options, seed=seed)

        def at_level(level: Level | None) -> Iterator[Weight]:
            assert level is not None
            for weight, keep in zip(weights, survivors_at(level), strict=True):
                yield weight.masked(keep) if isinstance(keep, Tensor) else keep.of(weight)

        return at_level


class TransformFunction(Protocol):
    """A method that takes each matrix by itself."""

    def __call__(self, weight: Weight, level: Level | None, options: Options) -> Weight:
        """Return the compressed weight; must not change the one given."""
        ...


@dataclass(frozen=True)
class MatrixMethod:
    """A method that takes each matrix by itself, such as quantization."""

    declaration: MethodDeclaration
    transform: TransformFunction

    def prepare(self, weights: Sequence[Weight], options: Options, *, seed: int) -> AtLevel:  # noqa: ARG002
        """Nothing is shared between levels."""

        def at_level(level: Level | None) -> Iterator[Weight]:
            for weight in weights:
                yield self.transform(weight, level, options)

        return at_level

"""The seam for methods that are torchao's."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from forgetmeter.compression.applying.unit import Unit
from forgetmeter.compression.forms.torchao_weight import torchao_problems
from forgetmeter.compression.forms.weight import Weight
from forgetmeter.compression.method import AtLevel, Options
from forgetmeter.compression.unit_method import Check, no_problems
from forgetmeter.specs.method import MethodDeclaration
from forgetmeter.specs.recipe import Level
from forgetmeter.specs.role import Matrix


class TorchaoTransform(Protocol):
    """Quantizes one linear layer's weight."""

    def __call__(self, weight: Weight, options: Options) -> Weight:
        """Return the quantized weight; must not change the one given."""
        ...


@dataclass(frozen=True)
class TorchaoMethod:
    """A method that has torchao quantize whole linear layers."""

    declaration: MethodDeclaration
    transform: TorchaoTransform
    check: Check = no_problems

    def problems(
        self, matrices: Sequence[Matrix], level: Level | None, options: Options, *, model: Sequence[Matrix]
    ) -> Iterator[str]:
        """Say that torchao is missing, that a layer is not whole, or what the method's own check finds."""
        yield from torchao_problems(self.declaration.name, matrices, model)
        yield from self.check(matrices, level, options)

    def prepare_units(self, units: Sequence[Unit], options: Options, *, seed: int) -> AtLevel:  # noqa: ARG002
        """Nothing is shared, as there is no level."""

        def at_level(_level: Level | None) -> Iterator[Weight]:
            for unit in units:
                yield self.transform(unit.weight, options)

        return at_level

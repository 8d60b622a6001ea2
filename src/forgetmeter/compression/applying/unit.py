"""Units that methods compress: the selected parts of a parameter joined into one weight.

Published methods see a fused layer as one matrix, with one scale and one order of weights. So the parts of a parameter
that a step selects are joined before the method sees them, and split afterwards, since a later step may select others.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from torch import Tensor

from forgetmeter.compression.forms.weight import PartWeight, Weight
from forgetmeter.specs.ranges import Ranges, merged
from forgetmeter.specs.role import Matrix, Role


@dataclass(frozen=True)
class Unit:
    """Matrices of one parameter that are compressed as one.

    Attributes:
        matrices: The matrices; several only if they are parts of a fused parameter.
        weight: Their joined weight, in the parameter's order.
    """

    matrices: tuple[Matrix, ...]
    weight: Weight

    @property
    def parameter(self) -> str:
        """The parameter's name."""
        return self.matrices[0].parameter

    @property
    def axis(self) -> int:
        """The axis along which the parameter is fused; 0 if it is not."""
        return self.matrices[0].axis or 0

    @property
    def ranges(self) -> Ranges:
        """The unit's indices along the axis; empty if the parameter is not fused."""
        return merged(piece for matrix in self.matrices for piece in matrix.ranges)

    @property
    def places(self) -> dict[Matrix, Ranges]:
        """Each matrix's indices within the unit, along the axis; empty for a single matrix."""
        if len(self.matrices) == 1:
            return {self.matrices[0]: ()}
        return dict(zip(self.matrices, _positions(self.matrices), strict=True))

    @property
    def is_transposed_layer(self) -> bool:
        """Whether the layer stores input units first."""
        return self.matrices[0].has_inputs_first

    def turned(self, tensor: Tensor) -> Tensor:
        """Return a view in the other of two orientations: as stored, and ``(…, output units, input units)``."""
        return tensor.transpose(-2, -1) if self.is_transposed_layer else tensor

    def outputs_first(self) -> Tensor:
        """Return the weights as ``(…, output units, input units)``."""
        return self.turned(self.weight.values())

    def expert(self, number: int) -> Unit:
        """Return the matrix of one expert of a tensor of experts, as of a linear layer."""
        matrices = (
            replace(each, shape=each.shape[1:], axis=None if each.axis is None else each.axis - 1)
            for each in self.matrices
        )
        return Unit(tuple(matrices), self.weight.expert(number))

    @classmethod
    def of(cls, weight: Weight) -> Unit:
        """Return a unit that belongs to no model, stored as in a linear layer, to use a method on its own."""
        return cls((Matrix("weight", Role("unknown"), weight.shape, "decoder"),), weight)

    def split(self, weight: Weight) -> dict[Matrix, Weight]:
        """Split a weight of this unit's shape, such as its compressed weight, by matrix, without a copy."""
        if len(self.matrices) == 1:
            return {self.matrices[0]: weight}
        return {matrix: PartWeight(weight, self.axis, ranges) for matrix, ranges in self.places.items()}


def joined(weights: Iterable[tuple[Matrix, Weight]]) -> list[Unit]:
    """Join the parts of each parameter, as far as their forms allow.

    Returns:
        Units in the order of their first matrices. A parameter is one unit, unless earlier steps gave its parts forms
        that cannot be joined, such as integers with different scales. Parts that make up a whole weight again become
        that weight, without a copy.
    """
    by_parameter: dict[str, list[tuple[Matrix, Weight]]] = {}
    for matrix, weight in weights:
        by_parameter.setdefault(matrix.parameter, []).append((matrix, weight))
    return [_unit(alike) for parts in by_parameter.values() for alike in _by_form(parts)]


def _by_form(parts: Sequence[tuple[Matrix, Weight]]) -> list[list[tuple[Matrix, Weight]]]:
    groups: list[list[tuple[Matrix, Weight]]] = []
    for matrix, weight in parts:
        for group in groups:
            if group[0][1].can_join(weight) or weight.can_join(group[0][1]):
                group.append((matrix, weight))
                break
        else:
            groups.append([(matrix, weight)])
    return groups


def _unit(parts: Sequence[tuple[Matrix, Weight]]) -> Unit:
    matrices = tuple(matrix for matrix, _ in parts)
    weights = [weight for _, weight in parts]
    one = weights[0] if len(parts) == 1 else _of_one_whole(weights)
    if one is not None:
        return Unit(matrices, one.simplified() if isinstance(one, PartWeight) else one)
    axis = matrices[0].axis or 0
    return Unit(matrices, weights[0].join(axis, list(zip(_positions(matrices), weights, strict=True))))


def _of_one_whole(weights: Sequence[Weight]) -> Weight | None:
    first = weights[0]
    if not isinstance(first, PartWeight):
        return None
    ranges: list[tuple[int, int]] = []
    for weight in weights:
        if not isinstance(weight, PartWeight) or weight.whole is not first.whole:
            return None
        ranges.extend(weight.ranges)
    return PartWeight(first.whole, first.axis, merged(ranges))


def _positions(matrices: Sequence[Matrix]) -> list[Ranges]:
    """Return the indices of each matrix within the joined weight, which follows the parameter's order."""
    pieces = sorted((*piece, which) for which, matrix in enumerate(matrices) for piece in matrix.ranges)
    found: list[list[tuple[int, int]]] = [[] for _ in matrices]
    offset = 0
    for start, stop, which in pieces:
        found[which].append((offset, offset + stop - start))
        offset += stop - start
    return [merged(ranges) for ranges in found]

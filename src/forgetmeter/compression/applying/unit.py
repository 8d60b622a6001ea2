"""What a method is given: the selected parts of a parameter as one weight, and the way back.

A published method that works on a fused layer sees one matrix: one scale, one order of its weights. So the parts
of a parameter that one step selects are put together before the method sees them, and taken apart afterwards,
since a later step may select others of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from torch import Tensor

from forgetmeter.compression.forms.weight import PartWeight, Weight
from forgetmeter.specs.ranges import Ranges, merged
from forgetmeter.specs.role import Matrix, Role


@dataclass(frozen=True)
class Unit:
    """Matrices of one parameter that are worked on as one.

    Attributes:
        matrices: The matrices; more than one only if they are parts of a fused parameter.
        weight: All of them, in the order of the parameter.
    """

    matrices: tuple[Matrix, ...]
    weight: Weight

    @property
    def parameter(self) -> str:
        """The parameter's name."""
        return self.matrices[0].parameter

    @property
    def axis(self) -> int:
        """The axis along which the parameter is fused; 0 where it is not."""
        return self.matrices[0].axis or 0

    @property
    def ranges(self) -> Ranges:
        """The unit's indices along the axis; empty where the parameter is not fused."""
        return merged(piece for matrix in self.matrices for piece in matrix.ranges)

    @property
    def places(self) -> dict[Matrix, Ranges]:
        """Each matrix's indices within the unit, along the axis; for a single matrix, none are needed."""
        if len(self.matrices) == 1:
            return {self.matrices[0]: ()}
        return dict(zip(self.matrices, _positions(self.matrices), strict=True))

    @property
    def is_turned(self) -> bool:
        """Whether the layer stores input units first."""
        return self.matrices[0].form == "conv1d"

    def turned(self, tensor: Tensor) -> Tensor:
        """Turn what the layer stores to ``(…, output units, input units)``, or such a tensor back; a view."""
        return tensor.transpose(-2, -1) if self.is_turned else tensor

    def outputs_first(self) -> Tensor:
        """Return the weights as ``(…, output units, input units)``."""
        return self.turned(self.weight.values())

    @classmethod
    def of(cls, weight: Weight) -> Unit:
        """Return a matrix that belongs to no model, as a linear layer stores it, for using a method by itself."""
        return cls((Matrix("weight", Role("unknown"), weight.shape, "decoder"),), weight)

    def apart(self, weight: Weight) -> dict[Matrix, Weight]:
        """Return a weight of this unit's shape, such as what a method made of it, by matrix; nothing is copied."""
        if len(self.matrices) == 1:
            return {self.matrices[0]: weight}
        return {matrix: PartWeight(weight, self.axis, ranges) for matrix, ranges in self.places.items()}


def joined(weights: Iterable[tuple[Matrix, Weight]]) -> list[Unit]:
    """Put the parts of each parameter together, as far as their forms allow it.

    Args:
        weights: Matrices, and the form that each one is in.

    Returns:
        Units in the order of the first matrix of each. A parameter makes one unit, unless steps before brought
        its parts to forms that cannot be one weight, such as integers with different scales. What makes up a
        whole weight again becomes that weight, without a copy.
    """
    by_parameter: dict[str, list[tuple[Matrix, Weight]]] = {}
    for matrix, weight in weights:
        by_parameter.setdefault(matrix.parameter, []).append((matrix, weight))
    return [_unit(alike) for parts in by_parameter.values() for alike in _by_form(parts)]


def _by_form(parts: Sequence[tuple[Matrix, Weight]]) -> list[list[tuple[Matrix, Weight]]]:
    groups: list[list[tuple[Matrix, Weight]]] = []
    for matrix, weight in parts:
        for group in groups:
            if group[0][1].joins(weight) or weight.joins(group[0][1]):
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
        return Unit(matrices, one.on_its_own() if isinstance(one, PartWeight) else one)
    axis = matrices[0].axis or 0
    return Unit(matrices, weights[0].together(axis, list(zip(_positions(matrices), weights, strict=True))))


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
    """Return the indices of each matrix within all of them, put together in the order of the parameter."""
    pieces = sorted((*piece, which) for which, matrix in enumerate(matrices) for piece in matrix.ranges)
    found: list[list[tuple[int, int]]] = [[] for _ in matrices]
    offset = 0
    for start, stop, which in pieces:
        found[which].append((offset, offset + stop - start))
        offset += stop - start
    return [merged(ranges) for ranges in found]

"""GPTQ: rounds one input unit at a time; those still to come compensate for its errors."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from forgetmeter.compression.calibrated.column_by_column import Settle, compensated, curvature, inverse_factor
from forgetmeter.compression.calibrated.input_moments import InputMoments
from forgetmeter.compression.forms.rounded_weight import RoundedWeight
from forgetmeter.compression.forms.unusable_weight import refuse_not_finite
from forgetmeter.compression.method import CalibratedMethod, Options
from forgetmeter.compression.methods import round_to_nearest
from forgetmeter.specs.method import MethodDeclaration, Option, Packing
from forgetmeter.specs.recipe import Level, OptionValue

_SMALLEST_SCALE = torch.finfo(torch.float32).eps


@dataclass(frozen=True)
class Grid:
    """The numbers that weights are rounded to: ``(integer - zero point) * scale``.

    Integers range from ``-2**(bits-1)`` to ``2**(bits-1) - 1``.

    Attributes:
        bits: Bits per integer.
        scales: float32, ``(groups, output units)``.
        points: The zero points, whole numbers in float32, likewise.
    """

    bits: int
    scales: Tensor
    points: Tensor

    @classmethod
    def of(cls, groups: Tensor, bits: int, *, is_symmetric: bool) -> Grid:
        """Return the grid from the least to the largest weight of each group and output unit.

        Symmetric: as ``round_to_nearest``. Asymmetric: the range includes 0, and the zero point is rounded. Scales are
        at least float32's epsilon.

        Args:
            groups: ``(groups, input units, output units)``.
            bits: Bits per integer.
            is_symmetric: Whether all zero points are 0.
        """
        least, most = groups.amin(1).clamp_max_(0), groups.amax(1).clamp_min_(0)
        largest = torch.maximum(-least, most)
        width = 2 * largest if is_symmetric else most - least
        # Divided by a tensor, as in ``round_to_nearest``.
        scales = (width / torch.full_like(width, 2**bits - 1)).clamp_min_(_SMALLEST_SCALE)
        points = torch.zeros_like(scales) if is_symmetric else (-least / scales).round_().sub_(2 ** (bits - 1))
        return cls(bits, scales, points)

    def integers(self, weights: Tensor, group: int) -> Tensor:
        """Return the nearest integers to one input unit's weights, as whole numbers in float32."""
        nearest = (weights / self.scales[group]).round_().add_(self.points[group])
        return nearest.clamp_(-(2 ** (self.bits - 1)), 2 ** (self.bits - 1) - 1)

    def values(self, integers: Tensor, group: int) -> Tensor:
        """Return the numbers that integers stand for."""
        return (integers - self.points[group]).mul_(self.scales[group])


def compress(weight: Tensor, inputs: InputMoments, level: Level | None, options: Options) -> RoundedWeight:
    """Round weights one input unit at a time, so that the layer's outputs change least.

    The published algorithm, with one scale (and zero point) per output unit, or per group of it. The scales of a group
    are found when its first unit is reached, from weights that contain the compensation of all blocks before, as
    published; with ``static_groups``, from the weights before any compensation. ``act_order`` takes the units with the
    largest inputs first; groups are then formed in this order, unless they are static.

    As published, weights of an input unit that is always zero become 0. Weights that are 0 before, such as pruned ones,
    stay 0. A layer that no text reaches is rounded to nearest.

    Args:
        weight: float32, ``(output units, input units)``.
        inputs: Inputs of the layer, with products.
        level: Bits.
        options: ``group_size``, ``symmetric``, ``act_order``, ``static_groups``, ``block_size`` and ``damp``.

    Raises:
        UnusableWeightError: The weights hold NaN or infinity.
    """
    refuse_not_finite(weight, "quantized")
    size = int(options["group_size"]) or weight.shape[1]
    is_static = size == weight.shape[1] or bool(options["static_groups"])
    used, hessian = inputs.squares > 0, curvature(inputs)
    columns = weight.t().clone(memory_format=torch.contiguous_format)
    if used.any():
        columns[~used] = 0
    grid = _grid(columns, size, level, options)
    order = torch.arange(len(columns), device=weight.device)
    if options["act_order"]:
        order = inputs.squares.argsort(descending=True, stable=True)
        columns, hessian = columns[order], hessian[order][:, order]
    groups = (order if is_static else torch.arange(len(order), device=order.device)) // size
    group_of = groups.tolist()
    zeros, integers = columns == 0, torch.empty_like(columns)

    def begin(first: int, block: Tensor) -> Settle:
        def settle(at: int) -> Tensor:
            place = first + at
            group = group_of[place]
            if not is_static and place % size == 0:
                end = place + size
                found = _grid(columns[place:end].masked_fill(zeros[place:end], 0), size, level, options)
                grid.scales[group], grid.points[group] = found.scales[0], found.points[0]
            integers[place] = grid.integers(block[at].masked_fill(zeros[place], 0), group)
            return grid.values(integers[place], group)

        return settle

    compensated(columns, inverse_factor(hessian, float(options["damp"])), int(options["block_size"]), begin)
    back = order.argsort()
    is_mixed = bool(options["act_order"]) and not is_static
    return RoundedWeight(
        integers[back].t().to(torch.int8).contiguous(),
        grid.scales.t().contiguous(),
        input_axis=-1,
        bit_width=grid.bits,
        zero_points=None if options["symmetric"] else grid.points.t().to(torch.int8).contiguous(),
        groups=groups[back].int() if is_mixed else None,
    )


def _grid(columns: Tensor, size: int, level: Level | None, options: Options) -> Grid:
    return Grid.of(columns.unflatten(0, (-1, size)), int(level or 0), is_symmetric=bool(options["symmetric"]))


def packing(level: Level | None, options: Mapping[str, OptionValue]) -> Packing:
    """Return the layout of the integers."""
    is_mixed = bool(options["act_order"] and options["group_size"] and not options["static_groups"])
    return Packing(int(level or 0), int(options["group_size"]), not options["symmetric"], is_mixed)


METHOD = CalibratedMethod(
    MethodDeclaration(
        name="gptq",
        summary="Rounds weights to 2 to 8 bits, one input unit at a time, and adjusts later ones to compensate.",
        reference="GPTQ (Frantar et al. 2022, 2210.17323)",
        level="bits",
        forms=("linear", "conv1d"),
        phrase="rounded to {level} bits by GPTQ",
        options={
            "group_size": Option(0, "Number of input units per scale; 0 for all.", least=0),
            "symmetric": Option(True, "Whether the grid is symmetric about 0; otherwise, it has zero points."),
            "act_order": Option(False, "Whether to take the input units with the largest inputs first."),
            "static_groups": Option(
                False, "Whether to compute all groups' scales before rounding, in the original order."
            ),
            "block_size": Option(128, "Number of input units after which all later ones are updated.", least=1),
            "damp": Option(0.01, "Share of the mean squared input to add to each squared input.", least=0),
        },
        effect="quantizes",
        packs=packing,
    ),
    compress,
    has_products=True,
    check=round_to_nearest.check,
)

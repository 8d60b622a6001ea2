"""Applies one step of a recipe."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from math import prod

import torch
from torch import Tensor
from transformers import PreTrainedModel

from forgetmeter.compression.applying.unit import Unit, joined
from forgetmeter.compression.forms.unusable_weight import UnusableWeightError
from forgetmeter.compression.forms.weight import DenseWeight, Weight, by_matrix
from forgetmeter.compression.method import AtLevel, Method
from forgetmeter.compression.ranking.magnitude_bits import pieces_with
from forgetmeter.compression.registry import load_method
from forgetmeter.errors import UserError
from forgetmeter.specs.recipe import Recipe, Step
from forgetmeter.specs.role import Block, Matrix

_COMPUTED_WITHIN = 64
"""Error of a decomposition on any device, relative to a matrix's norm, in units of the machine epsilon."""


def selected_units(step: Step, originals: Mapping[Matrix, Weight], weights: Mapping[Matrix, Weight]) -> list[Unit]:
    """Return the units that a step works on.

    Args:
        originals: All matrices of the model with its own weights, in the model's order.
        weights: The weights that earlier steps changed.

    Raises:
        UserError: Earlier steps dropped everything the step selects.
    """
    now = {**originals, **weights}
    selected = step.scope.select(matrix for matrix in originals if not now[matrix].is_dropped)
    if not selected:
        raise UserError(f"nothing is left for '{step}': earlier steps dropped the layers of scope '{step.scope}'")
    return joined((matrix, now[matrix]) for matrix in selected)


def own_weights(model: PreTrainedModel, matrices: Sequence[Matrix]) -> dict[Matrix, Weight]:
    """Return a model's own weights by matrix; without values if it is a skeleton."""
    names = dict.fromkeys(matrix.parameter for matrix in matrices)
    return by_matrix(matrices, {name: DenseWeight(model.get_parameter(name).detach()) for name in names})


def dropped_blocks(recipe: Recipe, originals: Mapping[Matrix, Weight]) -> set[Block]:
    """Return the blocks that a recipe drops, without reading weights.

    If activations would choose the blocks, the last ones stand in for them.

    Raises:
        UserError: Earlier steps drop everything that a step selects.
    """
    dropped = dict[Matrix, Weight]()
    for step in recipe.steps:
        units = selected_units(step, originals, dropped)
        method = load_method(step.method)
        if method.declaration.kind == "blocks":
            results = zip(units, prepared(step, units, seed=0)(step.level), strict=True)
            for unit, weight in results:
                dropped.update(unit.split(weight) if weight.is_dropped else {})
    return {block for matrix in dropped if (block := matrix.block) is not None}


def prepared(step: Step, units: Sequence[Unit], *, seed: int, method: Method | None = None) -> AtLevel:
    """Do the work shared by all levels; ``method`` is the step's method if it was calibrated.

    Raises:
        UnusableWeightError: The method cannot work on one of the weights.
    """
    method = method or load_method(step.method)
    return method.prepare(units, method.declaration.values(step), seed=seed)


def unit_by_unit(
    units: Sequence[Unit],
    prepare: Callable[[], AtLevel],
    step: Step,
    *,
    model: str,
    stored: Mapping[str, int] | None = None,
) -> Iterator[tuple[Unit, Weight]]:
    """Yield each original unit with its weight after the step.

    Args:
        model: The model's name in errors.
        stored: Bytes per weight of each parameter in the checkpoint, as in ``Loaded``.

    Raises:
        UserError: The method cannot work on a matrix's values; or, after the last unit, nothing has changed.
    """
    position, is_idle = 0, True
    try:
        for unit, weight in zip(units, prepare()(step.level), strict=True):
            _check_form(step.method, unit, weight)
            # Compared up to the first difference only: a few numbers in most steps.
            width = (stored or {}).get(unit.parameter)
            is_idle = is_idle and is_unchanged(unit.weight, weight, stored_bits=width and 8 * width)
            yield unit, weight
            position += 1
    except UnusableWeightError as error:
        unit = units[position if error.position is None else error.position]
        raise UserError(f"{unit.parameter} of {model} {error.reason}") from error
    if is_idle:
        raise UserError(
            f"'{step}' changes nothing in {model}: every selected weight already has the resulting value and width; "
            "leave the step out, or choose another level or scope"
        )


def _check_form(method: str, unit: Unit, weight: Weight) -> None:
    """Check that a method, which may be a plug-in's, returned a weight that can replace its unit's.

    Raises:
        UserError: It is not a weight, or has another shape or dtype.
    """
    if Weight not in type(weight).__mro__:
        raise UserError(f"method '{method}' must return a Weight for {unit.parameter}, not a {type(weight).__name__}")
    if weight.shape != unit.weight.shape:
        raise UserError(
            f"method '{method}' changed the shape of {unit.parameter} from {unit.weight.shape} to {weight.shape}; "
            "it must keep the shape"
        )
    old, new = unit.weight, weight
    if isinstance(old, DenseWeight) and isinstance(new, DenseWeight) and old.tensor.dtype != new.tensor.dtype:
        raise UserError(
            f"method '{method}' changed the dtype of {unit.parameter} from {old.tensor.dtype} to {new.tensor.dtype}; "
            "only weights of a custom form may have another dtype"
        )


def is_unchanged(before: Weight, after: Weight, *, stored_bits: int | None = None) -> bool:
    """Return whether two forms of a weight have the same values, bits and scales; stops at the first difference.

    Fewer bits are a change even if rounding is exact, since the model gets smaller; the checkpoint may store fewer bits
    than the dtype of computation has. A form with its own kernel also counts as a change, because its bits always
    differ from those of dense weights. 0 equals -0. Forms that are recomputed may differ by rounding, for example a
    low-rank approximation of a matrix that already has that rank.
    """
    if after is before:
        return True
    plain = prod(before.shape) * (stored_bits or max(before.bits(), after.bits())) // 8
    bits_before, bits_after = (weight.stored_bits(plain) for weight in (before, after))
    if after.is_dropped or (bits_after, after.scales()) != (bits_before, before.scales()):
        return False
    old, new = before.values(), after.values()
    return old is new or _equal(old, new) or (after.is_recomputed and _equal_but_for_rounding(old, new))


def _equal(old: Tensor, new: Tensor) -> bool:
    """Compare piece by piece; the first piece usually decides."""
    common = torch.promote_types(old.dtype, new.dtype)
    return all(torch.equal(one.to(common), other.to(common)) for one, other in pieces_with(old, new.contiguous()))


def _equal_but_for_rounding(old: Tensor, new: Tensor) -> bool:
    """Whether two batches of matrices differ by no more than the rounding of computing and storing them.

    The old ones may have been stored in a narrower dtype than their current one.
    """
    narrow = (torch.bfloat16, torch.float16, torch.float32)
    stored = next((dtype for dtype in narrow if torch.equal(old.to(dtype).to(old.dtype), old)), old.dtype)
    computed = torch.promote_types(stored, torch.float32)
    # Rounding to nearest moves numbers by at most a quarter of an epsilon on average.
    within = torch.finfo(stored).eps / 4 + _COMPUTED_WITHIN * torch.finfo(computed).eps
    wide = torch.promote_types(old.dtype, torch.float32)
    norm = torch.linalg.matrix_norm
    return bool((norm(new.to(wide) - old.to(wide)) <= within * norm(old.to(wide))).all())

"""One step of a recipe: what it works on, and what it makes of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

import torch
from torch import Tensor

from forgetmeter.compression.applying.unit import Unit, joined
from forgetmeter.compression.forms.unusable_weight import UnusableWeightError
from forgetmeter.compression.forms.weight import DenseWeight, Weight
from forgetmeter.compression.method import AtLevel, Method
from forgetmeter.compression.ranking.magnitude_bits import pieces_with
from forgetmeter.compression.table import load_method
from forgetmeter.errors import UserError
from forgetmeter.specs.recipe import Step
from forgetmeter.specs.role import Matrix


def selected_units(step: Step, originals: Mapping[Matrix, Weight], weights: Mapping[Matrix, Weight]) -> list[Unit]:
    """Return what a step works on.

    Args:
        step: The step.
        originals: All matrices of the model with its own weights, in the model's order.
        weights: What the steps before made of some of them.

    Raises:
        UserError: The steps before dropped all of it.
    """
    now = {**originals, **weights}
    selected = step.scope.select(matrix for matrix in originals if not now[matrix].is_dropped)
    if not selected:
        raise UserError(f"nothing of scope '{step.scope}' is left for '{step}': the steps before dropped its layers")
    return joined((matrix, now[matrix]) for matrix in selected)


def prepared(step: Step, units: Sequence[Unit], *, seed: int, method: Method | None = None) -> AtLevel:
    """Do what is the same for all levels.

    Args:
        step: The step.
        units: What it works on.
        seed: For methods that draw at random.
        method: The step's method, where it was calibrated.

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
    """Yield each unit, as it was, with what a step makes of it.

    Args:
        units: What the step works on.
        prepare: Does what is the same for all levels.
        step: The step.
        model: What to call the model in errors.
        stored: Bytes that one weight of each parameter takes in the checkpoint, as in ``Loaded``.

    Raises:
        UserError: A matrix holds values that the method cannot work on; or, after the last unit, the step left all
            of them as they were.
    """
    position, is_idle = 0, True
    try:
        for unit, weight in zip(units, prepare()(step.level), strict=True):
            _check_form(step.method, unit, weight)
            # Compared until the first difference only, so that most steps compare a few numbers.
            width = (stored or {}).get(unit.parameter)
            is_idle = is_idle and is_unchanged(unit.weight, weight, stored_bits=width and 8 * width)
            yield unit, weight
            position += 1
    except UnusableWeightError as error:
        unit = units[position if error.position is None else error.position]
        raise UserError(f"{unit.parameter} of {model} {error.reason}") from error
    if is_idle:
        raise UserError(
            f"'{step}' changes nothing in {model}: every weight it selects already has the value and the width that it "
            "would get; leave the step out, or choose another level or scope"
        )


def _check_form(method: str, unit: Unit, weight: Weight) -> None:
    """Check that a method, which may be a plug-in's, made a weight that can take its unit's place.

    Raises:
        UserError: It is not a weight, or has another shape or dtype.
    """
    if Weight not in type(weight).__mro__:
        raise UserError(f"method '{method}' must make a Weight of {unit.parameter}, not a {type(weight).__name__}")
    if weight.shape != unit.weight.shape:
        raise UserError(
            f"method '{method}' changed the shape of {unit.parameter} from {unit.weight.shape} to {weight.shape}"
        )
    old, new = unit.weight, weight
    if isinstance(old, DenseWeight) and isinstance(new, DenseWeight) and old.tensor.dtype != new.tensor.dtype:
        raise UserError(
            f"method '{method}' changed the dtype of {unit.parameter} from {old.tensor.dtype} to {new.tensor.dtype}; "
            "only forms of their own may do that"
        )


def is_unchanged(before: Weight, after: Weight, *, stored_bits: int | None = None) -> bool:
    """Return whether two forms of a weight have the same values, bits and scales; stops at the first difference.

    Fewer bits are a change even where rounding is exact, as the model then takes less room. So is a form with a
    kernel of its own, which never has the bits of plain weights. 0 and -0 are the same.

    Args:
        before: The weight as it was.
        after: The weight as it is.
        stored_bits: What a weight of the checkpoint takes, where it is computed in a wider dtype.
    """
    if after is before:
        return True
    most = stored_bits or max(before.bits(), after.bits())
    bits_before, bits_after = (min(most, weight.bits()) for weight in (before, after))
    if after.is_dropped or (bits_after, after.scales()) != (bits_before, before.scales()):
        return False
    old, new = before.values(), after.values()
    return old is new or _equal(old, new)


def _equal(old: Tensor, new: Tensor) -> bool:
    """Compare a piece at a time: seldom more than the first one is looked at."""
    common = torch.promote_types(old.dtype, new.dtype)
    return all(torch.equal(one.to(common), other.to(common)) for one, other in pieces_with(old, new.contiguous()))

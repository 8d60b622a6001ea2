"""Casting to 16-bit floating point."""

from __future__ import annotations

import torch

from forgetmeter.compression.forms.cast_weight import CastWeight
from forgetmeter.compression.forms.unusable_weight import UnusableWeightError
from forgetmeter.compression.forms.weight import DenseWeight, Weight
from forgetmeter.compression.method import MatrixMethod, Options
from forgetmeter.specs.method import MethodDeclaration, Option
from forgetmeter.specs.recipe import Level
from forgetmeter.specs.role import MATRICES

_DTYPES = {"float16": torch.float16, "bfloat16": torch.bfloat16}


def transform(weight: Weight, level: Level | None, options: Options) -> CastWeight:  # noqa: ARG001
    """Cast the weights, as ``Tensor.to`` does.

    Raises:
        UnusableWeightError: A finite weight is too large for the dtype.
    """
    values = weight.values().detach()
    stored = values.to(_DTYPES[str(options["dtype"])])
    if bool((stored.isinf() & values.isfinite()).any()):
        raise UnusableWeightError(f"holds a weight that is too large for {options['dtype']}; use dtype=bfloat16")
    return CastWeight(DenseWeight(stored))


METHOD = MatrixMethod(
    MethodDeclaration(
        name="cast",
        summary="Weights stored in 16-bit floating point; computed in the model's own dtype.",
        reference="torch.Tensor.to",
        level="none",
        forms=(*MATRICES, "array", "lookup"),
        phrase="cast to {dtype=bfloat16}",
        options={"dtype": Option("bfloat16", "The 16-bit dtype.", tuple(_DTYPES))},
        effect="rewrites",
        kind="casts",
    ),
    transform,
)

"""Weight-only quantization to the 4-bit NormalFloat of QLoRA."""

from __future__ import annotations

from statistics import NormalDist

import torch

from forgetmeter.compression.forms.codebook_weight import CodebookWeight
from forgetmeter.compression.forms.unusable_weight import refuse_not_finite
from forgetmeter.compression.forms.weight import Weight
from forgetmeter.compression.method import MatrixMethod, Options
from forgetmeter.compression.methods.round_to_nearest import check
from forgetmeter.specs.method import MethodDeclaration, Option
from forgetmeter.specs.recipe import Level
from forgetmeter.specs.role import MATRICES

_LARGEST_PROBABILITY = 0.9677083
"""``1 - (1/30 + 1/32) / 2``, with the digits and in the dtype that give bitsandbytes' levels bit for bit."""


def _normal_float_levels() -> tuple[float, ...]:
    """Return 7 negative quantiles of the normal distribution, 0, and 8 positive ones, scaled to [-1, 1]."""
    quantile = NormalDist().inv_cdf
    positive, negative = (torch.linspace(_LARGEST_PROBABILITY, 0.5, count)[:-1].tolist() for count in (9, 8))
    levels = torch.tensor([*(-quantile(p) for p in negative), 0.0, *(quantile(p) for p in reversed(positive))])
    scaled: list[float] = (levels / levels.max()).tolist()
    return tuple(scaled)


LEVELS = _normal_float_levels()
"""The 16 levels of NF4, exact in float32."""


def transform(weight: Weight, level: Level | None, options: Options) -> CodebookWeight:  # noqa: ARG001
    """Replace each weight, divided by its group's largest magnitude, by the nearest level; of two, by the lower one.

    Args:
        weight: Weights, ``(…, output units, input units)``.

    Raises:
        UnusableWeightError: The weights hold NaN or infinity.
    """
    values = weight.values().detach()
    refuse_not_finite(values, "quantized")
    groups = values.to(torch.float32).contiguous().unflatten(-1, (-1, int(options["group_size"]) or values.shape[-1]))
    factors = groups.abs().amax(-1, keepdim=True)
    levels = torch.tensor(LEVELS, dtype=torch.float32, device=values.device)
    between = (levels[1:] + levels[:-1]) / 2
    found = torch.bucketize(groups / factors.clamp_min(torch.finfo(torch.float32).tiny), between, out_int32=True)
    integers = (found - LEVELS.index(0.0)).to(torch.int8)
    return CodebookWeight(integers.flatten(-2), factors.squeeze(-1), input_axis=-1, levels=LEVELS)


METHOD = MatrixMethod(
    MethodDeclaration(
        name="nf4",
        summary="4-bit weights at quantiles of the normal distribution, one scale per group; computed in floating "
        "point.",
        reference="QLoRA (Dettmers et al. 2023, 2305.14314), without double quantization",
        level="none",
        phrase="4-bit NormalFloat",
        options={"group_size": Option(64, "Number of input units per scale; 0 for all.", least=0)},
        forms=(*MATRICES, "lookup"),
        effect="quantizes",
    ),
    transform,
    check=check,
    orientation="outputs_first",
)

"""Wanda on one layer, against its definition written as loops."""

from __future__ import annotations

import pytest
import torch

from forgetmeter.compression.calibrated.input_moments import InputMoments
from forgetmeter.compression.methods.wanda import METHOD, check, compress
from forgetmeter.specs.recipe import parse_recipe
from forgetmeter.specs.role import Matrix, Role


def moments_of(inputs):
    moments = InputMoments(inputs.shape[-1], torch.device("cpu"), has_products=False)
    moments.add(inputs)
    return moments


def kept(weight, inputs, zeros, size):
    """Zero the ``zeros`` smallest scores of each ``size`` neighbours, one by one."""
    keep = torch.ones_like(weight, dtype=torch.bool)
    norms = [float(column.double().norm()) for column in inputs.t()]
    for output, row in enumerate(weight.tolist()):
        for start in range(0, len(row), size):
            scores = sorted((abs(row[place]) * norms[place], place) for place in range(start, start + size))
            for _, place in scores[:zeros]:
                keep[output, place] = False
    return keep


@pytest.mark.parametrize(("level", "m"), [(0.5, 0), (0.3, 0), (0.5, 4), (0.25, 8)])
def test_masks_are_those_of_the_definition(level, m) -> None:
    random = torch.Generator().manual_seed(0)
    weight = torch.randn(6, 16, generator=random)
    inputs = torch.randn(50, 16, generator=random) * torch.rand(16, generator=random) * 5
    size = m or 16
    expected = kept(weight, inputs, round(level * size), size)
    found = compress(weight, moments_of(inputs), level, {"m": m})
    assert torch.equal(found, expected)
    assert not torch.equal(found, kept(weight, torch.ones(1, 16), round(level * size), size))


def test_a_layer_that_no_text_reaches_is_pruned_by_magnitude() -> None:
    weight = torch.randn(6, 16, generator=torch.Generator().manual_seed(0))
    found = compress(weight, moments_of(torch.zeros(0, 16)), 0.5, {"m": 0})
    assert torch.equal(found, kept(weight, torch.ones(1, 16), 8, 16))


@pytest.mark.parametrize(
    ("recipe", "words"),
    [
        ("wanda:overall:0.3:m=4", "level 0.3 of m=4 weights is not a whole number; choose a multiple of 1/4"),
        ("wanda:overall:0.5:m=32", "m=32 does not divide the 16 input units of w"),
    ],
)
def test_groups_that_do_not_fit_are_refused(recipe, words) -> None:
    (step,) = parse_recipe(recipe).steps
    problems = check(
        [Matrix("w", Role("feed_forward", "up"), (8, 16), "decoder")], step.level, METHOD.declaration.values(step)
    )
    assert any(words in each for each in problems)

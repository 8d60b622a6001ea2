"""AWQ on one layer, against its definition written as loops over the inputs themselves.

Covers ``compression.methods.awq``.
"""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from models.architectures import make_architecture
from torch import Tensor

from forgetmeter.compression.applying.compressor import Compressor
from forgetmeter.compression.calibrated.input_moments import InputMoments
from forgetmeter.compression.forms.input_scaled_weight import InputScaledWeight
from forgetmeter.compression.forms.unusable_weight import UnusableWeightError
from forgetmeter.compression.forms.weight import DenseWeight
from forgetmeter.compression.methods import round_to_nearest
from forgetmeter.compression.methods.awq import compress
from forgetmeter.models.loaded import Loaded
from forgetmeter.specs.recipe import parse_recipe

OPTIONS = {"group_size": 0, "grid": 20, "clip": True}


def moments_of(inputs: Tensor) -> InputMoments:
    moments = InputMoments(inputs.shape[-1], torch.device("cpu"), has_products=True)
    moments.add(inputs)
    return moments


def layer(seed: int = 0, *, outputs: int = 6, units: int = 16, rows: int = 30) -> tuple[Tensor, Tensor]:
    """Return weights, and inputs some units of which are much larger than others."""
    random = torch.Generator().manual_seed(seed)
    sizes = torch.randn(units, generator=random).mul(1.5).exp()
    return torch.randn(outputs, units, generator=random), torch.randn(rows, units, generator=random) * sizes


def rounded(group: list[np.float32], bits: int, limit: float = math.inf) -> list[np.float32]:
    """Round one group of weights, clipped to a limit, as ``round_to_nearest`` does.

    In float32, as the largest weights lie on the edge between two integers.
    """
    clipped = [min(max(value, -np.float32(limit)), np.float32(limit)) for value in group]
    step = max(map(abs, clipped)) / np.float32((2**bits - 1) / 2)
    lowest, highest = -(2 ** (bits - 1)), 2 ** (bits - 1) - 1
    return [np.float32(min(max(round(float(value / step)), lowest), highest)) * step for value in clipped]


def error(row: list[np.float32], new: list[np.float32], inputs: list[list[np.float32]]) -> float:
    """Return the squared error of one output, added up over the inputs."""
    return sum(
        sum((float(b) - float(a)) * float(x) for a, b, x in zip(row, new, each, strict=True)) ** 2 for each in inputs
    )


def by_hand(weight: Tensor, inputs: Tensor, bits: int, *, size: int, grid: int, clip: bool) -> tuple[Tensor, Tensor]:
    """Return the scales and the rounded weights; one group, and one number, at a time."""
    rows, xs = [list(row) for row in weight.numpy()], [list(x) for x in inputs.numpy()]
    starts = range(0, len(rows[0]), size)
    tried = []
    for number in range(grid):
        powers = inputs.abs().mean(0) ** (number / grid)
        scales = list((powers / (powers.max() * powers.min()).sqrt()).numpy())
        scaled = [[value * scale for value, scale in zip(row, scales, strict=True)] for row in rows]
        new = [[value for at in starts for value in rounded(row[at : at + size], bits)] for row in scaled]
        back = [[value / scale for value, scale in zip(row, scales, strict=True)] for row in new]
        tried.append((sum(error(a, b, xs) for a, b in zip(rows, back, strict=True)), number, scales, scaled, back))
    _, _, scales, scaled, back = min(tried)
    if clip:
        xs = [[value / scale for value, scale in zip(x, scales, strict=True)] for x in xs]
        for row, into in zip(scaled, back, strict=True):
            for at in starts:
                group, parts = row[at : at + size], [x[at : at + size] for x in xs]
                limits = [max(map(abs, group)) * np.float32(1 - shrink / 20) for shrink in range(10)]
                ways = [rounded(group, bits, limit) for limit in limits]
                _, best = min((error(group, way, parts), place) for place, way in enumerate(ways))
                into[at : at + size] = [v / s for v, s in zip(ways[best], scales[at : at + size], strict=True)]
    return torch.tensor(np.array(scales)), torch.tensor(np.array(back))


@pytest.mark.parametrize(
    ("bits", "size", "grid", "clip"),
    [(4, 16, 20, False), (3, 4, 20, False), (2, 8, 5, False), (4, 16, 20, True), (3, 4, 7, True), (2, 8, 20, True)],
)
@pytest.mark.parametrize("seed", range(3))
def test_scales_and_weights_are_those_of_the_definition(seed: int, bits: int, size: int, grid: int, clip: bool) -> None:
    """For single layers, the code that the authors published computes the same (docs/decisions/043)."""
    weight, inputs = layer(seed)
    scales, values = by_hand(weight, inputs, bits, size=size, grid=grid, clip=clip)
    found = compress(weight, moments_of(inputs), bits, {"group_size": size % 16, "grid": grid, "clip": clip})
    torch.testing.assert_close(found.input_scales[0], scales)
    torch.testing.assert_close(found.values(), values, rtol=1e-4, atol=1e-5)
    assert (found.bits(), found.scales()) == (bits, 6 * (16 // size) + 16)


@pytest.mark.parametrize("size", [0, 8])
@pytest.mark.parametrize("bits", [2, 3, 4, 8])
def test_each_search_reduces_the_error_of_the_outputs(bits: int, size: int) -> None:
    weight, inputs = layer(outputs=20, units=32, rows=100)
    options = {**OPTIONS, "group_size": size}

    def wrong(values: Tensor) -> float:
        return float((inputs @ (values - weight).t()).square().sum())

    plain = wrong(round_to_nearest.transform(DenseWeight(weight), bits, options).values())
    scaled = wrong(compress(weight, moments_of(inputs), bits, {**options, "clip": False}).values())
    clipped = wrong(compress(weight, moments_of(inputs), bits, options).values())
    assert scaled < plain
    # Groups are clipped each for itself.
    assert clipped < scaled or bits == 8


@pytest.mark.parametrize("inputs", [torch.zeros(0, 16), torch.zeros(3, 16)])
def test_a_layer_without_inputs_is_rounded_to_nearest(inputs: Tensor) -> None:
    weight, _ = layer()
    found = compress(weight, moments_of(inputs), 4, OPTIONS)
    assert torch.equal(found.values(), round_to_nearest.transform(DenseWeight(weight), 4, OPTIONS).values())


def test_weights_of_unused_inputs_are_kept() -> None:
    """Other texts may use them."""
    weight, inputs = layer(outputs=32)
    inputs[:, 3] = 0
    found = compress(weight, moments_of(inputs), 4, OPTIONS)
    assert found.input_scales[0, 3] == found.input_scales[0, inputs.any(0)].min() < 1
    assert bool(found.values()[:, 3].any())


def test_weights_that_are_not_finite_are_refused() -> None:
    weight, inputs = layer()
    weight[2, 3] = torch.nan
    with pytest.raises(UnusableWeightError, match="cannot be quantized"):
        compress(weight, moments_of(inputs), 4, OPTIONS)


@pytest.mark.parametrize(("name", "family"), [("gpt2", "decoder"), ("bert", "encoder"), ("t5", "encoder-decoder")])
def test_models_of_each_family(name: str, family: str) -> None:
    """Stored either way round; the bytes include the scales of input units."""
    model = make_architecture(name)
    loaded = Loaded(model, tokenizer=None, family=family, name=name)  # type: ignore[arg-type]
    ids = torch.randint(3, 60, (4, 9), generator=torch.Generator().manual_seed(0))
    call = {"input_ids": ids, "labels": ids} if family == "encoder-decoder" else {"input_ids": ids}
    plain = Compressor(loaded).compressed(parse_recipe("round_to_nearest:feed_forward:3:group_size=16"))
    found = Compressor(loaded, calibration=[call]).compressed(parse_recipe("awq:feed_forward:3:group_size=16"))
    given: dict[str, Tensor] = {}
    first, *_ = found.weights
    hook = model.get_submodule(first.module).register_forward_pre_hook(lambda _, args: given.update(x=args[0]))
    with torch.inference_mode():
        model(**call)
    hook.remove()
    own = model.get_parameter(first.parameter).detach()
    own = own.t() if first.has_inputs_first else own
    alone = compress(own, moments_of(given["x"]), 3, {**OPTIONS, "group_size": 16}).values()
    torch.testing.assert_close(found.weights[first].values(), alone.t() if first.has_inputs_first else alone)
    assert all(isinstance(weight, InputScaledWeight) for weight in found.weights.values())
    inputs = sum(matrix.inputs for matrix in found.weights)
    assert found.reached.quantized_bytes == plain.reached.quantized_bytes + 4 * inputs


def test_groups_that_do_not_fit_are_refused() -> None:
    loaded = Loaded(make_architecture("llama"), tokenizer=None, family="decoder", name="x")  # type: ignore[arg-type]
    (problem,) = Compressor(loaded, calibration=[{}]).check(parse_recipe("awq:feed_forward:4:group_size=32"))
    assert ": group_size=32 does not divide the 48 input units of model.layers.0.mlp.down_proj.weight" in problem

"""SparseGPT on one layer, against its equations in float64.

Also compared, outside of the tests, with ``fasterprune`` of IST-DASLab/sparsegpt at 147d2159: decision 043.
"""

from __future__ import annotations

import math
from functools import partial

import pytest
import torch
from compression.calibrated.one_at_a_time import (
    assert_same_layers,
    damped,
    inverse_from,
    layer,
    moments_of,
    one_block_at_a_time,
    output_error,
    settled,
)
from models.architectures import make_architecture
from tiny_models import make_llama, make_tokenizer

from forgetmeter.compression.applying.compressor import Compressor
from forgetmeter.compression.applying.compressor import compress as in_model
from forgetmeter.compression.forms.unusable_weight import UnusableWeightError
from forgetmeter.compression.methods import wanda
from forgetmeter.compression.methods.sparsegpt import METHOD, compress
from forgetmeter.models.loaded import Loaded
from forgetmeter.specs.recipe import parse_recipe


def options(**changed):
    return {name: option.default for name, option in METHOD.declaration.options.items()} | changed


def by_hand(weight, inputs, level, *, m=0, block_size=128, damp=0.01):
    """Choose a block's weights one by one when it starts, or a group's when its first unit is reached."""
    hessian = damped(inputs, damp)
    dropped = torch.zeros_like(weight, dtype=torch.bool)

    def score(weights, row, place):
        return float(weights[row, place] ** 2 / inverse_from(hessian, place)[0, 0])

    def new_values(place, weights, _):
        end = min(place + (m or block_size), weight.shape[1])
        rows = range(len(weight))
        if m and place % m == 0:
            for row in rows:
                ranked = sorted(range(place, end), key=lambda at: score(weights, row, at))
                dropped[row, ranked[: round(level * m)]] = True
        if not m and place % block_size == 0:
            ranked = sorted(((row, at) for row in rows for at in range(place, end)), key=lambda it: score(weights, *it))
            for row, at in ranked[: int(level * len(ranked)) + 1]:
                dropped[row, at] = True
        return weights[:, place].masked_fill(dropped[:, place], 0)

    return settled(weight, hessian, new_values, block_size=block_size)


@pytest.mark.parametrize(
    ("level", "changed"),
    [
        (0.5, {}),
        (0.7, {"block_size": 8}),
        (0.3, {"block_size": 12}),
        (0.5, {"m": 4}),
        (0.25, {"m": 8, "block_size": 16}),
        (0.5, {"damp": 0.3}),
    ],
)
@pytest.mark.parametrize("seed", range(3))
def test_weights_are_those_of_the_equations(level, changed, seed) -> None:
    weight, inputs = layer(seed)
    found = compress(weight, moments_of(inputs), level, options(**changed))
    expected = by_hand(weight, inputs, level, **changed)
    assert torch.equal(found == 0, expected == 0)
    torch.testing.assert_close(found, expected.float(), rtol=1e-3, atol=1e-4)
    assert output_error(weight, found, inputs) < output_error(
        weight, weight * wanda.compress(weight, moments_of(inputs), level, {"m": changed.get("m", 0)}), inputs
    )


@pytest.mark.parametrize(("level", "zeros"), [(0.0, 0), (0.5, 2 * 65 + 65), (0.999, 2 * 128 + 128), (1.0, 384)])
def test_each_block_loses_one_weight_more_than_its_share(level, zeros) -> None:
    weight, inputs = layer(outputs=8, size=48)
    found = compress(weight, moments_of(inputs), level, options(block_size=16))
    assert int((found == 0).sum()) == zeros


@pytest.mark.parametrize("inputs", [torch.zeros(0, 32), torch.zeros(3, 32)])
def test_a_layer_without_inputs_is_pruned_by_magnitude(inputs) -> None:
    weight, _ = layer()
    found = compress(weight, moments_of(inputs), 0.5, options(block_size=16))
    for block, of in zip(found.split(16, 1), weight.split(16, 1), strict=True):
        keep = of.abs() > of.abs().flatten().sort().values[96]
        assert torch.equal(block, of * keep)


def test_weights_of_unused_inputs_become_zero_and_zeros_stay() -> None:
    weight, inputs = layer()
    inputs[:, 5] = 0
    pruned = torch.rand(weight.shape, generator=torch.Generator().manual_seed(1)) < 0.4
    weight[pruned] = 0
    for changed in ({}, {"m": 4}):
        found = compress(weight, moments_of(inputs), 0.25, options(**changed))
        assert not found[:, 5].any()
        assert not found[pruned].any()
    assert int((compress(weight, moments_of(inputs), 0.5, options()) == 0).sum()) == weight.numel() // 2 + 1


def test_weights_that_are_not_finite_are_refused() -> None:
    weight, inputs = layer()
    weight[1, 2] = math.nan
    with pytest.raises(UnusableWeightError, match="cannot be pruned by SparseGPT"):
        compress(weight, moments_of(inputs), 0.5, options())


@pytest.mark.parametrize(
    ("recipe", "words"),
    [
        ("sparsegpt:overall:0.3:m=4", "level 0.3 of m=4 weights is not a whole number; choose a multiple of 1/4"),
        ("sparsegpt:overall:0.5:m=4:block_size=6", "block_size=6 is not a multiple of m=4; choose one that is"),
        (
            "round_to_nearest:overall:4+sparsegpt:overall:0.5",
            "quantized weights can only be pruned: put this step before 'round_to_nearest:overall:4'",
        ),
    ],
)
def test_what_does_not_fit_is_refused(recipe, words) -> None:
    loaded = Loaded(make_architecture("llama"), tokenizer=None, family="decoder", name="x")
    assert any(words in each for each in Compressor(loaded, calibration=[{}]).check(parse_recipe(recipe)))


@pytest.mark.parametrize("name", ["llama", "gpt2"])
def test_weights_stored_in_16_bits_stay_so(name) -> None:
    loaded = Loaded(make_architecture(name), tokenizer=None, family="decoder", name=name)
    compressor = Compressor(loaded, calibration=[{"input_ids": torch.arange(3, 40).unsqueeze(0)}])
    recipe = parse_recipe("cast:overall:dtype=float16+sparsegpt:overall:0.5")
    assert {weight.values().dtype for weight in compressor.compressed(recipe).weights.values()} == {torch.float16}
    with compressor.applied(recipe):
        assert {parameter.dtype for parameter in loaded.model.parameters()} == {torch.float32}


@pytest.mark.parametrize(("name", "family"), [("gpt2", "decoder"), ("bert", "encoder"), ("t5", "encoder-decoder")])
def test_models_of_each_family(name, family) -> None:
    """Stored either way round."""
    model = make_architecture(name)
    loaded = Loaded(model, tokenizer=None, family=family, name=name)
    ids = torch.randint(3, 60, (4, 9), generator=torch.Generator().manual_seed(0))
    call = {"input_ids": ids, "labels": ids} if family == "encoder-decoder" else {"input_ids": ids}
    found = Compressor(loaded, calibration=[call]).compressed(parse_recipe("sparsegpt:feed_forward:0.5:m=4"))
    assert found.reached.selected_zeros * 2 == found.reached.selected_weights
    given = {}
    first, *_ = found.weights
    hook = model.get_submodule(first.module).register_forward_pre_hook(lambda _, args: given.update(x=args[0]))
    with torch.inference_mode():
        model(**call)
    hook.remove()
    own = model.get_parameter(first.parameter).detach()
    own = own.t() if first.has_inputs_first else own
    alone = compress(own, moments_of(given["x"]), 0.5, options(m=4))
    torch.testing.assert_close(found.weights[first].values(), alone.t() if first.has_inputs_first else alone)


@pytest.mark.parametrize(
    ("recipe", "level", "changed"),
    [("sparsegpt:overall:0.5:block_size=16", 0.5, {"block_size": 16}), ("sparsegpt:overall:0.5:m=4", 0.5, {"m": 4})],
)
def test_a_whole_model(recipe, level, changed) -> None:
    change = partial(by_hand, level=level, **changed)
    model, random = make_llama(), torch.Generator().manual_seed(0)
    calls = [{"input_ids": torch.randint(5, 200, (4, 12), generator=random)} for _ in range(4)]
    loaded = Loaded(model, make_tokenizer(), "decoder", "llama")
    found = in_model(loaded, recipe, calibration=calls).model
    assert_same_layers(found, one_block_at_a_time(model, calls, change))

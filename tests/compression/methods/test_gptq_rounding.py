"""GPTQ on one layer, against its equations in float64.

Covers ``compression.methods.gptq``.

Also compared, outside of the tests, with ``fasterquant`` of IST-DASLab/gptq at 2d65066e: decision 043.
"""

from __future__ import annotations

import math
from functools import partial

import pytest
import torch
from compression.calibrated.one_at_a_time import (
    assert_same_layers,
    damped,
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
from forgetmeter.compression.forms.rounded_weight import RoundedWeight
from forgetmeter.compression.forms.unusable_weight import UnusableWeightError
from forgetmeter.compression.forms.weight import DenseWeight
from forgetmeter.compression.methods import round_to_nearest
from forgetmeter.compression.methods.gptq import METHOD, compress, packing
from forgetmeter.models.loaded import Loaded
from forgetmeter.specs.method import Packing
from forgetmeter.specs.recipe import parse_recipe


def options(**changed):
    return {name: option.default for name, option in METHOD.declaration.options.items()} | changed


def nearest(weight, bits, group_size):
    step = parse_recipe(f"round_to_nearest:overall:{bits}:group_size={group_size}").steps[0]
    return round_to_nearest.transform(
        DenseWeight(weight), bits, round_to_nearest.METHOD.declaration.values(step)
    ).values()


def scale_and_zero(group, bits, symmetric):
    """Return the grid of one output unit's group; its integers start at 0."""
    least, most = min(0.0, float(group.min())), max(0.0, float(group.max()))
    if symmetric:
        return 2 * max(-least, most) / (2**bits - 1), 2 ** (bits - 1)
    scale = (most - least) / (2**bits - 1)
    return scale, round(-least / scale)


def rounded(value, scale, zero, bits):
    return scale * (min(max(round(float(value) / scale) + zero, 0), 2**bits - 1) - zero)


def by_hand(
    weight, inputs, bits, *, group_size=0, symmetric=True, act_order=False, static_groups=False, block_size=128
):
    """Round one number at a time."""
    size = group_size or weight.shape[1]
    order = list(range(weight.shape[1]))
    if act_order:
        order.sort(key=lambda place: -float(inputs[:, place].square().sum()))
    static = static_groups or not group_size
    grids = {}

    def new_values(place, weights, at_start):
        new = torch.empty_like(weights[:, place])
        for row in range(len(weights)):
            key = (row, (order[place] if static else place) // size)
            if key not in grids:
                start = key[1] * size
                group = weight[row, start : start + size] if static else at_start[row, start : start + size]
                grids[key] = scale_and_zero(group, bits, symmetric)
            new[row] = rounded(weights[row, place], *grids[key], bits)
        return new

    found = settled(weight[:, order], damped(inputs)[order][:, order], new_values, block_size=block_size)
    return found[:, torch.tensor(order).argsort()]


@pytest.mark.parametrize("symmetric", [True, False], ids=["symmetric", "asymmetric"])
@pytest.mark.parametrize(
    "changed",
    [
        {},
        {"group_size": 8},
        {"group_size": 8, "block_size": 8},
        {"group_size": 8, "block_size": 12},
        {"act_order": True},
        {"act_order": True, "group_size": 8},
        {"act_order": True, "group_size": 8, "static_groups": True},
        {"group_size": 16, "static_groups": True},
    ],
    ids=str,
)
@pytest.mark.parametrize("bits", [2, 3, 4])
def test_weights_are_those_of_the_equations(bits, changed, symmetric) -> None:
    weight, inputs = layer(bits)
    found = compress(weight, moments_of(inputs), bits, options(symmetric=symmetric, **changed))
    expected = by_hand(weight, inputs, bits, symmetric=symmetric, **changed)
    torch.testing.assert_close(found.values(), expected.float(), rtol=1e-4, atol=1e-4)
    assert found.bits() == bits
    groups = weight.shape[1] // (changed.get("group_size") or weight.shape[1])
    assert found.scales() == len(weight) * groups
    plain = nearest(weight, bits, changed.get("group_size", 0))
    assert output_error(weight, found.values(), inputs) < output_error(weight, plain, inputs)


@pytest.mark.parametrize("inputs", [torch.zeros(0, 32), torch.zeros(3, 32)])
@pytest.mark.parametrize("size", [0, 8])
def test_a_layer_without_inputs_is_rounded_to_nearest(inputs, size) -> None:
    weight, _ = layer()
    found = compress(weight, moments_of(inputs), 3, options(group_size=size))
    assert torch.equal(found.values(), nearest(weight, 3, size))
    shifted = compress(weight, moments_of(inputs), 3, options(group_size=size, symmetric=False)).values()
    for row, new in zip(weight, shifted, strict=True):
        for group, of in zip(row.split(size or 32), new.split(size or 32), strict=True):
            scale, zero = scale_and_zero(group, 3, symmetric=False)
            torch.testing.assert_close(of, torch.tensor([rounded(value, scale, zero, 3) for value in group]))


@pytest.mark.parametrize("changed", [{}, {"group_size": 8}, {"group_size": 8, "act_order": True}], ids=str)
@pytest.mark.parametrize("symmetric", [True, False])
def test_weights_of_unused_inputs_become_zero_and_zeros_stay(changed, symmetric) -> None:
    weight, inputs = layer()
    inputs[:, 5] = 0
    pruned = torch.rand(weight.shape, generator=torch.Generator().manual_seed(1)) < 0.4
    weight[pruned] = 0
    weight[3] = 0
    found = compress(weight, moments_of(inputs), 3, options(symmetric=symmetric, **changed)).values()
    assert not found[:, 5].any()
    assert not found[pruned].any()
    assert not found[3].any()
    assert found.any()


def test_weights_that_are_not_finite_are_refused() -> None:
    weight, inputs = layer()
    weight[1, 2] = math.inf
    with pytest.raises(UnusableWeightError, match="cannot be quantized"):
        compress(weight, moments_of(inputs), 4, options())


@pytest.mark.parametrize(
    ("changed", "packs"),
    [
        ({}, Packing(4, 0)),
        ({"group_size": 8}, Packing(4, 8)),
        ({"act_order": True}, Packing(4, 0)),
        ({"act_order": True, "group_size": 8}, Packing(4, 8, is_ordered=True)),
        ({"act_order": True, "group_size": 8, "static_groups": True}, Packing(4, 8)),
        ({"symmetric": False}, Packing(4, 0, has_zero_points=True)),
    ],
    ids=str,
)
def test_its_parts_are_stored(changed, packs) -> None:
    assert packing(4, options(**changed)) == packs
    weight, inputs = layer()
    found = compress(weight, moments_of(inputs), 4, options(**changed))
    stored = found.stored_integers()
    in_order = torch.arange(weight.shape[1]) // (weight.shape[1] // stored.scales.shape[1])
    groups = in_order if stored.groups is None else stored.groups
    assert (stored.groups is not None and not torch.equal(groups, in_order)) == packs.is_ordered
    assert (stored.zero_points is not None) == packs.has_zero_points
    points = 0 if stored.zero_points is None else stored.zero_points[:, groups]
    assert torch.equal((stored.integers.float() - points) * stored.scales[:, groups], found.values())


@pytest.mark.parametrize(("name", "family"), [("gpt2", "decoder"), ("bert", "encoder"), ("t5", "encoder-decoder")])
@pytest.mark.parametrize("extra", ["", ":symmetric=false", ":act_order=true:symmetric=false"])
def test_models_of_each_family(name, family, extra) -> None:
    """Stored either way round; the bytes include zero points and groups; pruning keeps the grid."""
    model = make_architecture(name)
    loaded = Loaded(model, tokenizer=None, family=family, name=name)
    ids = torch.randint(3, 60, (4, 9), generator=torch.Generator().manual_seed(0))
    call = {"input_ids": ids, "labels": ids} if family == "encoder-decoder" else {"input_ids": ids}
    compressor = Compressor(loaded, calibration=[call])
    plain = compressor.compressed(parse_recipe("round_to_nearest:feed_forward:3:group_size=16"))
    recipe = f"gptq:feed_forward:3:group_size=16{extra}"
    found = compressor.compressed(parse_recipe(recipe))
    first, *_ = found.weights
    given = {}
    hook = model.get_submodule(first.module).register_forward_pre_hook(lambda _, args: given.update(x=args[0]))
    with torch.inference_mode():
        model(**call)
    hook.remove()
    own = model.get_parameter(first.parameter).detach()
    own = own.t() if first.has_inputs_first else own
    changed = options(group_size=16, act_order="act_order" in extra, symmetric="symmetric" not in extra)
    alone = compress(own, moments_of(given["x"]), 3, changed).values()
    torch.testing.assert_close(found.weights[first].values(), alone.t() if first.has_inputs_first else alone)
    points = sum(-(-weight.scales() * 3 // 8) for weight in found.weights.values()) if "symmetric" in extra else 0
    indices = sum(4 * matrix.inputs for matrix in found.weights) if "act_order" in extra else 0
    assert found.reached.quantized_bytes == plain.reached.quantized_bytes + points + indices
    pruned = compressor.compressed(parse_recipe(f"{recipe}+l1_unstructured:feed_forward:0.6"))
    assert pruned.reached.selected_zeros == round(0.6 * pruned.reached.selected_weights)
    assert pruned.reached.quantized_bytes == found.reached.quantized_bytes
    for matrix, weight in pruned.weights.items():
        assert isinstance(weight, RoundedWeight)
        before, after = found.weights[matrix].values(), weight.values()
        assert bool(((after == before) | (after == 0)).all())


def test_groups_that_do_not_fit_are_refused() -> None:
    loaded = Loaded(make_architecture("llama"), tokenizer=None, family="decoder", name="x")
    (problem,) = Compressor(loaded, calibration=[{}]).check(parse_recipe("gptq:feed_forward:4:group_size=32"))
    assert ": group_size=32 does not divide the 48 input units of model.layers.0.mlp.down_proj.weight" in problem


@pytest.mark.parametrize(
    ("recipe", "bits", "changed"),
    [
        ("gptq:overall:4", 4, {}),
        ("gptq:overall:3:group_size=16:symmetric=false", 3, {"group_size": 16, "symmetric": False}),
    ],
)
def test_a_whole_model(recipe, bits, changed) -> None:
    change = partial(by_hand, bits=bits, **changed)
    model, random = make_llama(), torch.Generator().manual_seed(0)
    calls = [{"input_ids": torch.randint(5, 200, (4, 12), generator=random)} for _ in range(4)]
    loaded = Loaded(model, make_tokenizer(), "decoder", "llama")
    found = in_model(loaded, recipe, calibration=calls).model
    assert_same_layers(found, one_block_at_a_time(model, calls, change))

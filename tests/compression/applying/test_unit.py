"""Joining and splitting the parts of fused parameters."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from models.architectures import logits_of, make_architecture

from forgetmeter.compression.applying.compressor import Compressor, compress
from forgetmeter.compression.applying.unit import joined
from forgetmeter.compression.forms.int8_weight import Int8Weight
from forgetmeter.compression.forms.weight import DenseWeight, PartWeight
from forgetmeter.compression.surgery.installation import PartwiseLinear, install
from forgetmeter.errors import UserError
from forgetmeter.models.loaded import Loaded
from forgetmeter.models.roles.weight_map import weight_map
from forgetmeter.specs.ranges import Ranges
from forgetmeter.specs.recipe import parse_recipe
from forgetmeter.specs.role import Matrix, Part, Role

PARTS: tuple[Part, ...] = ("query", "key", "value")
TENSOR = torch.arange(48.0).view(12, 4) + 1


def matrix_of(part: Part, ranges: Ranges) -> Matrix:
    size = sum(stop - start for start, stop in ranges)
    return Matrix("fused.weight", Role("attention", part, "self"), (size, 4), "decoder", 0, axis=0, ranges=ranges)


INTERLEAVED = [matrix_of(part, ((2 * at, 2 * at + 2), (2 * at + 6, 2 * at + 8))) for at, part in enumerate(PARTS)]
QUERY, KEY, VALUE = INTERLEAVED


def parts_of(whole: DenseWeight | Int8Weight) -> list[tuple[Matrix, PartWeight]]:
    return [(matrix, PartWeight(whole, 0, matrix.ranges)) for matrix in INTERLEAVED]


def test_all_parts_of_a_weight_are_that_weight_again() -> None:
    whole = DenseWeight(TENSOR)
    (unit,) = joined(parts_of(whole))
    assert unit.weight is whole
    (again,) = joined(unit.split(unit.weight).items())
    assert again.weight is whole


def test_some_parts_are_in_the_order_of_the_parameter() -> None:
    value, query = parts_of(DenseWeight(TENSOR))[2], parts_of(DenseWeight(TENSOR))[0]
    query = (query[0], PartWeight(value[1].whole, 0, query[1].ranges))
    (unit,) = joined([value, query])
    assert unit.ranges == ((0, 2), (4, 8), (10, 12))
    assert unit.weight.values().tolist() == TENSOR[[0, 1, 4, 5, 6, 7, 10, 11]].tolist()
    apart = unit.split(unit.weight)
    assert torch.equal(apart[QUERY].values(), TENSOR[[0, 1, 6, 7]])
    assert torch.equal(apart[VALUE].values(), TENSOR[[4, 5, 10, 11]])


@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    owners=st.lists(st.integers(0, 2), min_size=3, max_size=12).filter(lambda owners: len(set(owners)) == 3),
    chosen=st.sets(st.integers(0, 2), min_size=1),
    axis=st.integers(0, 1),
)
def test_splitting_undoes_joining_for_any_interleaving(owners: list[int], chosen: set[int], axis: int) -> None:
    tensor = torch.randn(len(owners), len(owners), generator=torch.Generator().manual_seed(0))
    matrices = []
    for owner, part in enumerate(PARTS):
        ranges = [(at, at + 1) for at, who in enumerate(owners) if who == owner]
        shape = [len(owners), len(owners)]
        shape[axis] = len(ranges)
        matrices.append(
            Matrix("w", Role("attention", part), tuple(shape), "decoder", 0, axis=axis, ranges=tuple(ranges))
        )
    weights = {
        matrices[which]: DenseWeight(PartWeight(DenseWeight(tensor), axis, matrices[which].ranges).values())
        for which in chosen
    }
    (unit,) = joined(weights.items())
    rows = [at for at, owner in enumerate(owners) if owner in chosen]
    assert torch.equal(unit.weight.values(), tensor.index_select(axis, torch.tensor(rows)))
    for matrix, weight in unit.split(unit.weight).items():
        assert torch.equal(weight.values(), weights[matrix].values())


def test_integers_join_if_they_have_one_scale() -> None:
    integers = TENSOR.to(torch.int8)
    query, key, value = parts_of(Int8Weight(integers, torch.tensor([[0.5]])))
    masked = query[1].masked(torch.zeros(4, 4, dtype=torch.bool))
    (unit,) = joined([(QUERY, masked), key, value])
    assert isinstance(unit.weight, Int8Weight)
    expected = integers.clone()
    expected[[0, 1, 6, 7]] = 0
    assert torch.equal(unit.weight.integers, expected)
    other = Int8Weight(masked.integers, torch.tensor([[0.25]]))
    apart = joined([(QUERY, other), key, (VALUE, DenseWeight(torch.ones(4, 4)))])
    assert [unit.matrices for unit in apart] == [(QUERY,), (KEY,), (VALUE,)]
    assert isinstance(apart[1].weight, Int8Weight)


def compressor_of(name: str) -> tuple[Compressor, Loaded]:
    loaded = Loaded(make_architecture(name), tokenizer=None, family="decoder", name=name)  # type: ignore[arg-type]
    return Compressor(loaded), loaded


def test_a_fused_parameter_is_installed_without_a_copy() -> None:
    compressor, loaded = compressor_of("gpt_neox")
    compressed = compressor.compressed(parse_recipe("l1_unstructured:attention:0.5"))
    part = next(weight for weight in compressed.weights.values() if isinstance(weight, PartWeight))
    undo = install(loaded.model, compressed.weights)
    installed = loaded.model.gpt_neox.layers[0].attention.query_key_value.weight
    assert isinstance(part.whole, DenseWeight)
    assert installed.data_ptr() == part.whole.tensor.data_ptr()
    undo()


def test_ties_within_a_fused_parameter_go_to_the_lower_flat_index() -> None:
    _, loaded = compressor_of("gpt_neox")
    with torch.no_grad():
        for layer in loaded.model.gpt_neox.layers:
            layer.attention.query_key_value.weight.fill_(0.5)
            layer.attention.dense.weight.fill_(0.5)
    first = loaded.model.gpt_neox.layers[0].attention.query_key_value
    # 2 layers of 96·32 and 32·32 equal weights; the 1000 zeros come first in the first parameter.
    level = 1000 / (2 * 128 * 32)
    with Compressor(loaded).applied(parse_recipe(f"l1_unstructured:attention:{level}")):
        assert (first.weight.flatten() == 0).nonzero().flatten().tolist() == list(range(1000))


def test_later_steps_can_work_on_other_parts() -> None:
    compressor, loaded = compressor_of("phi3")
    recipe = "l1_unstructured:attention.query:1+l1_unstructured:attention.value:1+dynamic_int8:attention"
    with compressor.applied(parse_recipe(recipe)) as compressed:
        fused = loaded.model.model.layers[0].self_attn.qkv_proj
        assert not fused.weight[:32].any()
        assert fused.weight[32:48].any()
        assert not fused.weight[48:].any()
        assert compressed.reached.roles["attention.query"].zeros == compressed.reached.roles["attention.query"].weights


def test_a_partly_quantized_copy_can_be_copied() -> None:
    _, loaded = compressor_of("gpt2")
    once = compress(loaded, "dynamic_int8:attention.query+l1_unstructured:head:0.5")
    twice = compress(once, "l1_unstructured:feed_forward:0.5")
    assert isinstance(twice.model.transformer.h[0].attn.c_attn, PartwiseLinear)
    assert torch.equal(logits_of(compress(once, "baseline").model), logits_of(once.model))
    assert not torch.equal(logits_of(twice.model), logits_of(once.model))
    with pytest.raises(
        UserError, match=r"attn\.c_attn\.parts\.0 and 1 more; write one recipe, with the step that quant"
    ):
        compress(once, "svd:attention.query:0.5")
    assert {str(matrix.role) for matrix in weight_map(once.model)} == {
        "attention.output",
        "feed_forward.up",
        "feed_forward.down",
        "head",
        "token_embedding",
    }

"""Steps in any order, against a plain sort and torch's own quantized layers.

Covers ``compression.applying.compressor`` and ``compression.forms.int8_weight``.
"""

from __future__ import annotations

import copy
import warnings
from collections.abc import Mapping, Sequence
from functools import cache

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from models.architectures import logits_of, make_architecture
from torch import Tensor, nn
from torch.ao.quantization import default_dynamic_qconfig, quantize_dynamic

from forgetmeter.compression.applying.compressor import Compressed, Compressor
from forgetmeter.compression.applying.unit import Unit
from forgetmeter.compression.forms.int8_weight import DynamicInt8Linear, Int8Weight, kernel_available
from forgetmeter.compression.forms.weight import DenseWeight, Weight
from forgetmeter.compression.methods.l1_unstructured import METHOD
from forgetmeter.errors import UserError
from forgetmeter.models.loaded import Loaded
from forgetmeter.specs.preset import preset_recipes
from forgetmeter.specs.recipe import parse_recipe
from forgetmeter.specs.role import Matrix

with_kernel = pytest.mark.skipif(not kernel_available(torch.device("cpu")), reason="this torch has no int8 kernels")


@cache
def loaded(name: str = "llama") -> Loaded:
    return Loaded(make_architecture(name), tokenizer=None, family="decoder", name=name)  # type: ignore[arg-type]


def compressed(recipe: str, name: str = "llama") -> Compressed:
    return Compressor(loaded(name)).compressed(parse_recipe(recipe))


def integers_of(weight: Weight) -> Tensor:
    bare = weight.standalone()
    assert isinstance(bare, Int8Weight)
    return bare.integers


def scales_of(result: Compressed) -> list[float]:
    return [float(weight.factors) for weight in result.weights.values() if isinstance(weight, Int8Weight)]


def smallest(magnitudes: Sequence[Sequence[float]], level: float) -> list[set[int]]:
    """Return the pruned flat indices per matrix, from a sort of all numbers by magnitude, then matrix, then index."""
    everything = [(size, which, at) for which, sizes in enumerate(magnitudes) for at, size in enumerate(sizes)]
    gone: list[set[int]] = [set() for _ in magnitudes]
    for _, which, at in sorted(everything)[: round(level * len(everything))]:
        gone[which].add(at)
    return gone


def torch_quantized(model: nn.Module, names: set[str]) -> nn.Module:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return quantize_dynamic(copy.deepcopy(model), dict.fromkeys(names, default_dynamic_qconfig))


def zeroed_by_hand(model: nn.Module, names: Sequence[str], level: float) -> None:
    """Zero weights of torch's quantized layers in place."""
    layers = [model.get_submodule(name) for name in names]
    weights = [layer.weight() for layer in layers]
    gone = smallest([weight.dequantize().abs().flatten().tolist() for weight in weights], level)
    for layer, weight, places in zip(layers, weights, gone, strict=True):
        flat = weight.int_repr().flatten().tolist()
        integers = torch.tensor([0 if at in places else value for at, value in enumerate(flat)], dtype=torch.int8)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            quantized = torch._make_per_tensor_quantized_tensor(integers.view(weight.shape), weight.q_scale(), 0)
        layer.set_weight_bias(quantized, layer.bias())


@with_kernel
@pytest.mark.parametrize("level", [0.05, 0.2, 0.5, 0.9])
@pytest.mark.parametrize("scope", ["attention", "overall"])
def test_pruning_after_quantization_is_torchs_layers_with_zeroed_integers(scope: str, level: float) -> None:
    model = loaded().model
    recipe = f"dynamic_int8:{scope}+l1_unstructured:{scope}:{level}"
    with Compressor(loaded()).applied(parse_recipe(recipe)) as result:
        names = [matrix.module for matrix in result.weights]
        reference = torch_quantized(make_architecture("llama"), set(names))
        zeroed_by_hand(reference, names, level)
        for matrix, weight in result.weights.items():
            theirs = reference.get_submodule(matrix.module).weight()
            assert torch.equal(integers_of(weight), theirs.int_repr())
            module = model.get_submodule(matrix.module)
            assert isinstance(module, DynamicInt8Linear)
            assert (module.simulated, module.factors.item()) == (False, theirs.q_scale())
        assert torch.equal(logits_of(model), logits_of(reference))
        size = result.reached.selected_weights
        assert result.reached.quantized_bytes == result.reached.dense_bytes - 3 * size + 4 * len(names)


small_integers = st.lists(st.integers(-3, 3) | st.sampled_from([-128, 127]), min_size=1, max_size=12)


@settings(max_examples=80, deadline=None, derandomize=True)
@given(
    rows=st.lists(small_integers, min_size=1, max_size=4),
    scales=st.lists(st.sampled_from([0.5, 1.0, 2.0, 0.3]), min_size=4, max_size=4),
    plain=st.integers(0, 3),
    level=st.floats(0, 1),
)
def test_counts_are_exact_and_ties_break_in_order(
    rows: list[list[int]], scales: list[float], plain: int, level: float
) -> None:
    """Most scales are powers of two, so that integers of different matrices tie as well."""
    weights: list[Weight] = [
        DenseWeight(torch.tensor([row]) * scale)
        if which == plain
        else Int8Weight(torch.tensor([row], dtype=torch.int8), torch.tensor([[scale]]))
        for which, (row, scale) in enumerate(zip(rows, scales, strict=False))
    ]
    values = [weight.values().flatten().tolist() for weight in weights]
    gone = smallest([[abs(value) for value in some] for some in values], level)
    after = list(METHOD.prepare([Unit.of(weight) for weight in weights], {"pool": "global"}, seed=0)(level))
    for weight, old, places in zip(after, weights, gone, strict=True):
        kept = [0.0 if at in places else value for at, value in enumerate(old.values().flatten().tolist())]
        assert weight.values().flatten().tolist() == kept
        assert type(weight) is type(old)
        if isinstance(weight, Int8Weight) and isinstance(old, Int8Weight):
            assert torch.equal(weight.factors, old.factors)
    zeros_before = sum(value == 0 for some in values for value in some)
    size = sum(map(len, values))
    zeros = sum(value == 0 for weight in after for value in weight.values().flatten().tolist())
    assert zeros == max(round(level * size), zeros_before)


@pytest.mark.parametrize("level", [0.2, 0.4])
def test_the_orders_give_different_weights_and_different_answers(level: float) -> None:
    answers, weights = [], []
    for order in (
        "l1_unstructured:overall:{0}+dynamic_int8:overall",
        "dynamic_int8:overall+l1_unstructured:overall:{0}",
    ):
        with Compressor(loaded()).applied(parse_recipe(order.format(level))) as result:
            answers.append(logits_of(loaded().model))
            weights.append(torch.cat([integers_of(weight).flatten() for weight in result.weights.values()]))
    assert not torch.equal(*answers)
    assert not torch.equal(*weights)
    # Both prune the same number of weights, but break ties at different places.
    assert not torch.equal(weights[0] == 0, weights[1] == 0)


def test_pruned_weights_are_quantized_with_their_own_scale() -> None:
    """Whole output units are pruned, including the largest weights; zeroed integers keep their old scale."""
    model = make_architecture("llama")
    with torch.no_grad():
        for layer in model.model.layers:
            layer.self_attn.k_proj.weight.mul_(1e-3)
    small = Loaded(model, tokenizer=None, family="decoder", name="small")  # type: ignore[arg-type]
    first, second, plain = (
        Compressor(small).compressed(parse_recipe(recipe))
        for recipe in (
            "l1_unstructured:attention:0.3+dynamic_int8:attention",
            "dynamic_int8:attention+l1_unstructured:attention:0.3",
            "dynamic_int8:attention",
        )
    )
    assert scales_of(second) == scales_of(plain)
    assert scales_of(first) != scales_of(plain)


def test_pruning_that_changes_nothing_is_refused() -> None:
    """Quantization itself zeroes the smallest weights: below that sparsity, pruning changes nothing."""
    quantized = compressed("dynamic_int8:overall").reached
    assert quantized.selected_zeros > 0
    level = quantized.selected_zeros / quantized.selected_weights / 4
    first = compressed(f"l1_unstructured:overall:{level}:pool=matrix+dynamic_int8:overall")
    assert first.reached == quantized
    with pytest.raises(UserError, match=rf"^'l1_unstructured:overall:{level}:pool=matrix' changes nothing in "):
        compressed(f"dynamic_int8:overall+l1_unstructured:overall:{level}:pool=matrix")


def test_a_later_step_on_more_matrices_ranks_both_forms_together() -> None:
    result = compressed("dynamic_int8:attention+l1_unstructured:overall:0.4")
    before = {matrix: loaded().model.get_parameter(matrix.parameter).detach() for matrix in result.weights}
    before |= {matrix: weight.values() for matrix, weight in compressed("dynamic_int8:attention").weights.items()}
    # The later step sees the matrices in the model's order.
    order = sorted(before, key=_place)
    gone = smallest([before[matrix].abs().flatten().tolist() for matrix in order], 0.4)
    assert_zeroed(result.weights, order, before, gone)
    for matrix, weight in result.weights.items():
        assert isinstance(weight, Int8Weight if matrix.role.component == "attention" else DenseWeight)
    assert result.reached.selected_zeros == round(0.4 * result.reached.selected_weights)


def _place(matrix: Matrix) -> int:
    return list(dict(loaded().model.named_parameters())).index(matrix.parameter)


def assert_zeroed(
    weights: Mapping[Matrix, Weight], order: Sequence[Matrix], before: Mapping[Matrix, Tensor], gone: Sequence[set[int]]
) -> None:
    for matrix, places in zip(order, gone, strict=True):
        old = before[matrix].flatten().tolist()
        expected = [0.0 if at in places else value for at, value in enumerate(old)]
        assert weights[matrix].values().flatten().tolist() == expected


def test_parts_of_a_fused_layer_keep_their_forms() -> None:
    result = compressed("dynamic_int8:attention.query+l1_unstructured:attention:0.5", "gpt_neox")
    for matrix, weight in result.weights.items():
        is_query = matrix.role.part == "query"
        assert isinstance(weight.standalone(), Int8Weight) == is_query
    assert result.reached.selected_zeros == round(0.5 * result.reached.selected_weights)


@pytest.mark.parametrize(
    "recipe",
    [
        "dynamic_int8:attention+dynamic_int8:overall",
        "dynamic_int8:overall+l1_unstructured:overall:0.5+dynamic_int8:layers[1]/attention.query",
    ],
)
def test_quantizing_twice_is_refused(recipe: str) -> None:
    (problem,) = Compressor(loaded()).check(parse_recipe(recipe))
    last = recipe.rpartition("+")[2]
    assert f"step '{last}' comes after 'dynamic_int8:" in problem
    assert "which already quantizes" in problem
    assert "remove one of the two, or choose scopes that do not overlap" in problem


def test_disjoint_scopes_can_be_quantized_in_turn() -> None:
    recipe = parse_recipe("dynamic_int8:attention+l1_unstructured:overall:0.5+dynamic_int8:feed_forward")
    assert Compressor(loaded()).check(recipe) == []


def test_the_preset_has_both_orders_of_every_pair() -> None:
    recipes = preset_recipes("open/order")
    pairs = {frozenset(recipe.steps) for recipe in recipes}
    assert (len(recipes), len(set(recipes)), len(pairs)) == (12, 12, 6)
    assert set(preset_recipes("paper/prune_then_quantize")) <= set(recipes)

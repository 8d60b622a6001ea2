"""Counts of zeros and bytes, against a loop over every weight.

Covers ``records.variant``.
"""

import pytest
import torch
from scoring.batch_invariance.configurations import CONFIGURATIONS

import forgetmeter
from forgetmeter.compression.applying.accounting import count_baseline
from forgetmeter.compression.applying.compressor import Compressor
from forgetmeter.models.roles.weight_map import weight_map
from forgetmeter.records.variant import RoleCount
from forgetmeter.specs.recipe import parse_recipe


def reached(loaded, recipe):
    return Compressor(loaded).compressed(parse_recipe(recipe)).reached


def count_by_hand(model):
    """Count zeros and sizes by role, from module names and every single weight."""
    roles = {
        "q_proj": "attention.query",
        "k_proj": "attention.key",
        "v_proj": "attention.value",
        "o_proj": "attention.output",
        "gate_proj": "feed_forward.gate",
        "up_proj": "feed_forward.up",
        "down_proj": "feed_forward.down",
        "lm_head": "head",
        "embed_tokens": "token_embedding",
    }
    counts = {}
    for name, module in model.named_modules():
        role = roles.get(name.rpartition(".")[2])
        if role is not None:
            values = module.weight.detach().float().flatten().tolist()
            old = counts.get(role, RoleCount(0, 0))
            counts[role] = RoleCount(old.weights + len(values), old.zeros + sum(value == 0 for value in values))
    return counts


# 2 layers: q and o 32·32, k and v 16·32, three feed-forward matrices of 48·32; a head of 61·32.
ATTENTION, FEED_FORWARD, HEAD = 2 * 2 * (1024 + 512), 2 * 3 * 1536, 1952
EMBEDDING, NORMS = 1952, 5 * 32


def test_the_baseline(make_loaded):
    result = reached(make_loaded(), "baseline")
    weights = ATTENTION + FEED_FORWARD + HEAD + EMBEDDING + NORMS
    assert result.dense_bytes == result.bitmask_bytes == result.quantized_bytes == 4 * weights
    assert result.smallest_bytes == result.dense_bytes
    assert (result.selected_weights, result.selected_zeros, result.removed_weights) == (0, 0, 0)
    assert result.sparsity == 0
    assert not result.simulated
    assert result.roles == count_by_hand(make_loaded().model)


def test_zeros_are_those_of_the_installed_model(make_loaded):
    loaded = make_loaded()
    with torch.no_grad():
        loaded.model.model.layers[0].self_attn.q_proj.weight[0, :5] = 0
        loaded.model.model.layers[1].mlp.up_proj.weight[:2, :] = 0
    recipe = parse_recipe("l1_unstructured:attention:0.3+dynamic_int8:feed_forward+l1_unstructured:head:0.1")
    with Compressor(loaded).applied(recipe) as compressed:
        assert compressed.reached.roles == count_by_hand(loaded.model)
        everything = compressed.reached.roles.values()
        assert compressed.reached.selected_weights == ATTENTION + FEED_FORWARD + HEAD
        # The embedding has none.
        assert compressed.reached.selected_zeros == sum(count.zeros for count in everything)
        assert compressed.reached.removed_weights == compressed.reached.selected_zeros - 5 - 64


def test_selected_is_the_union_of_the_scopes(make_loaded):
    result = reached(make_loaded(), "l1_unstructured:attention:0.5+l1_unstructured:attention.query:0.75")
    assert result.selected_weights == ATTENTION
    query = result.roles["attention.query"]
    assert query.weights == 2048
    assert query.zeros == 1536
    assert result.roles["feed_forward.up"] == RoleCount(3072, 0)


def test_bitmask_bytes_per_matrix(make_loaded):
    loaded = make_loaded()
    dense = reached(loaded, "baseline").dense_bytes
    with Compressor(loaded).applied(parse_recipe("l1_unstructured:feed_forward:0.5")) as compressed:
        saved = 0
        for layer in loaded.model.model.layers:
            for module in (layer.mlp.gate_proj, layer.mlp.up_proj, layer.mlp.down_proj):
                nonzero = int((module.weight != 0).sum())
                saved += 1536 * 4 - (1536 // 8 + nonzero * 4)
    assert compressed.reached.dense_bytes == dense
    assert compressed.reached.bitmask_bytes == dense - saved
    assert compressed.reached.quantized_bytes == dense


def test_a_bitmask_that_would_be_larger_is_not_used(make_loaded):
    loaded = make_loaded(dtype=torch.bfloat16)
    dense = reached(loaded, "baseline").dense_bytes
    # One zero saves 2 bytes of a matrix; its bitmask takes 128.
    with torch.no_grad():
        loaded.model.model.layers[0].self_attn.q_proj.weight[0, 0] = 0
    result = reached(loaded, "baseline")
    assert result.roles["attention.query"].zeros == 1
    assert result.bitmask_bytes == result.dense_bytes == dense


def test_quantized_bytes_and_dtype(make_loaded):
    for dtype, width in ((torch.float32, 4), (torch.bfloat16, 2)):
        result = reached(make_loaded(dtype=dtype), "dynamic_int8:attention")
        others = FEED_FORWARD + HEAD + EMBEDDING + NORMS
        assert result.dense_bytes == width * (ATTENTION + others)
        assert result.quantized_bytes == ATTENTION + 8 * 4 + width * others


def test_each_role_counts_at_its_own_bits(make_loaded):
    result = reached(
        make_loaded(),
        "round_to_nearest:attention:8+round_to_nearest:feed_forward:3:group_size=16+nf4:head:group_size=8",
    )
    units = 2 * (32 + 16 + 16 + 32)
    quantized = ATTENTION + 4 * units + FEED_FORWARD * 3 // 8 + FEED_FORWARD // 16 * 4 + HEAD // 2 + HEAD // 8 * 4
    assert result.quantized_bytes == quantized + 4 * (EMBEDDING + NORMS)
    assert result.simulated


def test_pruning_before_or_after_quantizing_counts_as_8_bits(make_loaded):
    loaded = make_loaded()
    for recipe in (
        "dynamic_int8:attention+l1_unstructured:attention:0.5",
        "l1_unstructured:attention:0.5+dynamic_int8:attention",
    ):
        result = reached(loaded, recipe)
        assert result.quantized_bytes == result.dense_bytes - 3 * ATTENTION + 8 * 4
        assert result.bitmask_bytes < result.dense_bytes


def test_a_tied_head_counts_once_until_it_is_untied(make_loaded):
    loaded = make_loaded(tied=True)
    body = ATTENTION + FEED_FORWARD + NORMS
    assert reached(loaded, "baseline").dense_bytes == 4 * (body + EMBEDDING)
    assert reached(loaded, "l1_unstructured:attention:0.5").dense_bytes == 4 * (body + EMBEDDING)
    pruned = reached(loaded, "l1_unstructured:head:0.5")
    assert pruned.dense_bytes == 4 * (body + EMBEDDING + HEAD)
    assert pruned.bitmask_bytes == pruned.dense_bytes - HEAD * 4 + HEAD // 8 + HEAD // 2 * 4
    assert reached(loaded, "dynamic_int8:head").quantized_bytes == 4 * (body + EMBEDDING) + HEAD + 4


def test_simulated_methods_are_marked(make_loaded, monkeypatch):
    monkeypatch.setattr("forgetmeter.compression.forms.int8_weight.kernel_available", lambda _device: False)
    assert reached(make_loaded(), "dynamic_int8:attention").simulated
    assert not reached(make_loaded(), "l1_unstructured:attention:0.5").simulated
    assert reached(make_loaded(), "round_to_nearest:attention:4+l1_unstructured:attention:0.5").simulated
    assert reached(make_loaded(), "cast:attention").simulated


# Each storage format is the smallest for one of these; sizes by hand, as above.
def test_the_smallest_way_of_storing_is_found(make_loaded):
    loaded = make_loaded()
    dense = reached(loaded, "baseline").dense_bytes
    pruned = reached(loaded, "l1_unstructured:feed_forward:0.5")
    assert pruned.smallest_bytes == pruned.bitmask_bytes < dense
    quantized = reached(loaded, "dynamic_int8:feed_forward")
    assert quantized.smallest_bytes == quantized.quantized_bytes
    both = reached(loaded, "dynamic_int8:feed_forward+l1_unstructured:feed_forward:0.75")
    zeros = both.selected_zeros
    assert both.smallest_bytes == dense - 4 * FEED_FORWARD + FEED_FORWARD // 8 + FEED_FORWARD - zeros + 6 * 4
    units = reached(loaded, "ln_structured:feed_forward.up:0.5")
    assert units.smallest_bytes == dense - 2 * (1536 * 4 - (24 * 32 * 4 + 48 // 8 + 32 // 8))
    rank = reached(loaded, "svd:feed_forward.up:0.75")
    assert rank.smallest_bytes == dense - 2 * (1536 * 4 - 8 * (48 + 32) * 4)
    dropped = reached(loaded, "drop_layers:overall:0.5")
    assert dropped.smallest_bytes == dropped.quantized_bytes == dense - 4 * (ATTENTION + FEED_FORWARD) // 2


def test_removed_heads_cost_only_their_mask(make_loaded):
    loaded = make_loaded()
    result = reached(loaded, "l1_heads:attention:0.5")
    dense = reached(loaded, "baseline").dense_bytes
    # Half of the query, key and value rows and of the output columns, plus a bit per row and column.
    bits = 2 * ((32 + 32) // 8 * 2 + (16 + 32) // 8 * 2)
    assert result.smallest_bytes == dense - 4 * ATTENTION // 2 + bits
    assert result.removed_weights == ATTENTION // 2


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
@pytest.mark.parametrize(
    "recipe",
    [
        "random_unstructured:overall:0.3",
        "random_unstructured:head:0.7",
        "ln_structured:overall:0.3",
        "drop_layers:overall:0.5",
        "svd:feed_forward:0.5",
        "round_to_nearest:overall:4",
        "dynamic_int8:overall",
    ],
)
@pytest.mark.parametrize("model", ["standard:decoder", "standard:encoder-decoder"])
def test_sizes_are_those_of_the_checkpoint_in_whatever_dtype_the_model_computes(model, recipe, dtype):
    narrow, wide = (reached(forgetmeter.load(model, dtype=each), recipe) for each in (dtype, "float32"))
    assert (narrow.dense_bytes, narrow.quantized_bytes) == (wide.dense_bytes, wide.quantized_bytes)
    # Rounding to 16 bits, and units whose norms are then equal, change a few zeros.
    assert narrow.smallest_bytes == pytest.approx(wide.smallest_bytes, rel=1e-3)
    assert narrow.bitmask_bytes == pytest.approx(wide.bitmask_bytes, rel=1e-3)


def test_a_cast_to_the_dtype_of_computation_halves_a_float32_checkpoint():
    found = reached(forgetmeter.load("standard:decoder", dtype="bfloat16"), "cast:overall:dtype=bfloat16")
    assert found.quantized_bytes == reached(forgetmeter.load("standard:decoder"), "cast:overall").quantized_bytes


def test_tables_that_are_not_saved_do_not_count_in_the_size() -> None:
    """Marian computes its positions again; its size would be larger than its files."""
    model = CONFIGURATIONS["marian as encoder-decoder"].model()
    unsaved = sum(model.state_dict()[name].nbytes for name in model._keys_to_ignore_on_save)
    whole = sum(
        tensor.nbytes for tensor in {id(each): each for each in model.state_dict(keep_vars=True).values()}.values()
    )
    assert count_baseline(model, weight_map(model)).total_bytes == whole - unsaved

"""Layers' inputs block by block, against a whole run of the model for each block.

Covers ``models.skipping``.
"""

from __future__ import annotations

import copy
from collections import defaultdict

import pytest
import torch
from scoring.batch_invariance import configurations
from scoring.batch_invariance.configurations import CONFIGURATIONS
from scoring.batch_invariance.test_all_architectures import REFUSED, USUALLY_RUN
from tiny_models import make_llama, make_tokenizer
from torch import nn

from forgetmeter.compression.applying.compressor import Compressor, compress
from forgetmeter.compression.calibrated import activations
from forgetmeter.compression.calibrated.activations import Activations
from forgetmeter.errors import UserError
from forgetmeter.models.loaded import Loaded
from forgetmeter.models.roles.weight_map import weight_map
from forgetmeter.specs.recipe import parse_recipe


def calls(family, *, vocabulary, number=3):
    random = torch.Generator().manual_seed(0)
    ids = [torch.randint(5, vocabulary, (2, 12), generator=random) for _ in range(number)]
    return [{"input_ids": each, "labels": each} if family == "encoder-decoder" else {"input_ids": each} for each in ids]


def loaded_of(name):
    configuration = CONFIGURATIONS[name]
    model = configuration.model()
    if hasattr(model.config, "rescale_every"):
        # As in a loaded model: RWKV would halve its weights in place.
        model.config.rescale_every = 0
    return Loaded(model, make_tokenizer(), configuration.family, name)


def linear_recipe(loaded):
    """Return a recipe for the layers of the model's blocks that calibrated methods can compress; ``None`` if none."""
    for scope in ("overall", "attention", "feed_forward"):
        recipe = parse_recipe(f"wanda:{scope}:0.5")
        if not Compressor(loaded, calibration=[{}]).check(recipe):
            return recipe
    return None


def one_block_at_a_time(loaded, recipe, calibration):
    """Prune a copy by Wanda, running the whole model for each block; by a loop over layers and their own inputs."""
    model = copy.deepcopy(loaded.model)
    matrices = recipe.steps[0].scope.select(weight_map(model))
    blocks = defaultdict(list)
    for matrix in matrices:
        blocks[matrix.block or matrix.module].append(matrix)
    order = []
    hooks = [
        # The block itself may be a list (Funnel's), which is never called.
        model.get_submodule(matrix.module).register_forward_pre_hook(lambda *_, block=block: order.append(block))
        for block, its in blocks.items()
        for matrix in its
    ]
    with torch.inference_mode():
        model(**calibration[0])
    for hook in hooks:
        hook.remove()
    for block in dict.fromkeys([*order, *blocks]):
        inputs = defaultdict(list)
        hooks = [
            module.register_forward_pre_hook(
                lambda _, args, kwargs, into=inputs[name]: into.append((args or [*kwargs.values()])[0].flatten(0, -2)),
                with_kwargs=True,
            )
            for name in {matrix.module for matrix in blocks[block]}
            # Zamba's layers share a weight.
            for module in model.modules()
            if getattr(module, "weight", None) is model.get_submodule(name).weight
            and not isinstance(module, torch.nn.Embedding)
        ]
        with torch.inference_mode():
            for call in calibration:
                model(**call)
        for hook in hooks:
            hook.remove()
        for matrix in blocks[block]:
            parameter = model.get_parameter(matrix.parameter)
            values = (
                parameter.data
                if matrix.axis is None
                else torch.cat(
                    [parameter.data.narrow(matrix.axis, start, stop - start) for start, stop in matrix.ranges],
                    matrix.axis,
                )
            )
            turned = values.t() if matrix.has_inputs_first else values
            rows = torch.cat(inputs[matrix.module]) if inputs[matrix.module] else torch.ones(1, turned.shape[1])
            scores = turned.abs() * rows.norm(dim=0)
            pruned = turned.clone()
            for row, score in zip(pruned, scores, strict=True):
                row[score.argsort(stable=True)[: round(len(row) / 2)]] = 0
            new = pruned.t() if matrix.has_inputs_first else pruned
            if matrix.axis is None:
                parameter.data = new.contiguous()
                continue
            offset = 0
            for start, stop in matrix.ranges:
                part = new.narrow(matrix.axis, offset, stop - start)
                parameter.data.narrow(matrix.axis, start, stop - start).copy_(part)
                offset += stop - start
    return model


@configurations.each(USUALLY_RUN, families=("decoder", "encoder", "encoder-decoder"), without=REFUSED)
def test_block_by_block_equals_whole_runs(name, monkeypatch) -> None:
    loaded = loaded_of(name)
    recipe = linear_recipe(loaded)
    if recipe is None:
        pytest.skip("its weights are in no linear layers")
    vocabulary = loaded.model.get_input_embeddings().weight.shape[0]
    calibration = calls(loaded.family, vocabulary=vocabulary)
    found = compress(loaded, recipe, calibration=calibration).model
    expected = one_block_at_a_time(loaded, recipe, calibration)
    names = {matrix.parameter for matrix in recipe.steps[0].scope.select(weight_map(loaded.model))}
    differing = sum(int(((found.get_parameter(n) == 0) != (expected.get_parameter(n) == 0)).sum()) for n in names)
    total = sum(found.get_parameter(n).numel() for n in names)
    # Scores that are equal but for rounding can change places.
    assert differing <= 2e-3 * total, f"{differing} of {total} weights"


def test_all_layers_that_share_a_weight_are_looked_at() -> None:
    loaded = loaded_of("zamba as decoder")
    first, second = (loaded.model.model.layers[place].shared_transf.self_attn.q_proj for place in (1, 2))
    assert first is not second
    assert first.weight is second.weight
    with torch.no_grad():
        # Weights of one size, so that the inputs decide.
        first.weight.fill_(1.0)
    calibration = calls("decoder", vocabulary=loaded.model.get_input_embeddings().weight.shape[0])
    seen: dict[int, list[torch.Tensor]] = {0: [], 1: []}
    hooks = [
        module.register_forward_pre_hook(lambda _, args, place=place: seen[place].append(args[0].flatten(0, -2)))
        for place, module in enumerate((first, second))
    ]
    with torch.inference_mode():
        for call in calibration:
            loaded.model(**call)
    for hook in hooks:
        hook.remove()
    both, only = (torch.cat(rows).norm(dim=0) for rows in ([*seen[0], *seen[1]], seen[0]))
    half = len(both) // 2
    assert set(both.argsort()[:half].tolist()) != set(only.argsort()[:half].tolist())
    pruned = compress(loaded, "wanda:attention.query:0.5", calibration=calibration).model
    for place in (1, 2):
        weight = pruned.model.layers[place].shared_transf.self_attn.q_proj.weight
        zeros = (weight == 0).nonzero()[:, 1].tolist()
        assert set(zeros) == set(both.argsort()[:half].tolist())


@pytest.mark.parametrize("recipe", ["wanda:overall:0.5", "wanda:feed_forward:0.5:m=4"])
def test_stored_states_change_nothing(recipe, monkeypatch) -> None:
    loaded = Loaded(make_llama(), make_tokenizer(), "decoder", "llama")
    calibration = calls("decoder", vocabulary=200)
    called = []
    original = activations._StageByStage._is_same
    monkeypatch.setattr(
        activations._StageByStage, "_is_same", lambda *args: called.append(original(*args)) or called[-1]
    )
    quick = compress(loaded, recipe, calibration=calibration).model.state_dict()
    assert called == [True] * (loaded.model.config.num_hidden_layers - 1)
    monkeypatch.setattr(activations._StageByStage, "_is_same", lambda *_: False)
    slow = compress(loaded, recipe, calibration=calibration).model.state_dict()
    assert all(torch.equal(quick[name], slow[name]) for name in quick)
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in loaded.model.modules())


def test_blocks_that_need_more_than_the_last_output_are_run_from_the_start() -> None:
    """The second block adds what the first one wrote beside its output."""
    loaded = Loaded(make_llama(), make_tokenizer(), "decoder", "llama")
    first, second, *_ = loaded.model.model.layers
    beside = {}
    first.register_forward_hook(lambda _, __, output: beside.update(value=output))
    second.register_forward_pre_hook(lambda _, args: (args[0] + 3 * beside.pop("value"), *args[1:]))
    recipe, calibration = parse_recipe("wanda:overall:0.5"), calls("decoder", vocabulary=200)
    found = compress(loaded, recipe, calibration=calibration).model.state_dict()
    expected = one_block_at_a_time(loaded, recipe, calibration).state_dict()
    assert all(torch.equal(found[name] == 0, expected[name] == 0) for name in found)


@pytest.mark.parametrize(
    "earlier", ["drop_layers:layers[0-0]/overall:1.0", "l1_unstructured:overall:0.3", "dynamic_int8:attention.query"]
)
def test_earlier_steps_are_seen(earlier) -> None:
    """Two steps of a recipe are a step on the model that the first one made; dropped blocks shift the others' names."""
    loaded = Loaded(make_llama(), make_tokenizer(), "decoder", "llama")
    calibration = calls("decoder", vocabulary=200)
    both = compress(loaded, f"{earlier}+wanda:attention.value:0.5", calibration=calibration).model.state_dict()
    one = compress(loaded, earlier, calibration=calibration)
    after = compress(one, "wanda:attention.value:0.5", calibration=calibration).model.state_dict()
    assert both.keys() == after.keys()
    values = [name for name in both if name.endswith("v_proj.weight")]
    assert values
    assert all(torch.equal(both[name], after[name]) for name in values)


def test_influence_after_dropped_blocks() -> None:
    loaded = Loaded(make_llama(), make_tokenizer(), "decoder", "llama")
    compressor = Compressor(loaded, calibration=calls("decoder", vocabulary=200))
    dropped = compressor.compressed(parse_recipe("drop_layers:layers[0-0]/overall:1.0")).weights
    last = ("model.layers", len(loaded.model.model.layers) - 1)
    found = Activations(loaded.model, calls("decoder", vocabulary=200), dropped).influence([last])
    assert found.keys() == {last}
    assert not torch.tensor(list(found.values())).isnan().any()


@pytest.mark.parametrize("method", ["wanda:overall:0.5", "awq:overall:4", "smoothquant:overall"])
def test_inputs_that_are_not_finite_are_refused(method) -> None:
    loaded = Loaded(make_llama(), make_tokenizer(), "decoder", "llama")
    loaded.model.model.layers[1].post_attention_layernorm.weight.data[3] = torch.inf
    with pytest.raises(UserError, match=r"^model\.layers\.1\.mlp\.gate_proj\.weight of llama receives NaN"):
        compress(loaded, method, calibration=calls("decoder", vocabulary=200))


@pytest.mark.parametrize("method", ["awq:overall:4", "smoothquant:overall"])
def test_weights_that_are_not_finite_are_named(method) -> None:
    loaded = Loaded(make_llama(), make_tokenizer(), "decoder", "llama")
    loaded.model.model.layers[1].mlp.up_proj.weight.data[3] = torch.nan
    with pytest.raises(UserError, match=r"^model\.layers\.1\.mlp\.up_proj\.weight of llama holds NaN or infinity and"):
        compress(loaded, method, calibration=calls("decoder", vocabulary=200))


def test_a_layer_that_no_text_reaches_is_left_for_last() -> None:
    """It is given no input, as an expert to which no token is routed."""
    model = make_llama()
    model.model.unused = nn.Linear(4, 4)
    walk = activations._StageByStage(
        Activations(model, calls("decoder", vocabulary=200)), ["model.unused", "model.layers.0.mlp.up_proj"]
    )
    assert [stage.module for stage in walk.stages] == ["model.layers.0", "model.unused"]
    assert walk.observe(walk.stages[1], has_products=False)[0].positions == 0


def test_blocks_in_lists_of_lists_come_in_the_order_of_the_model() -> None:
    """Funnel's decoder reads what its encoder, whose blocks are in a list of lists, wrote."""
    model = loaded_of("funnel as encoder").model
    modules = [
        matrix.module for matrix in parse_recipe("wanda:feed_forward:0.5").steps[0].scope.select(weight_map(model))
    ]
    walk = activations._StageByStage(Activations(model, calls("encoder", vocabulary=model.config.vocab_size)), modules)
    assert [stage.module for stage in walk.stages] == [
        "funnel.encoder.blocks.0.0",
        "funnel.encoder.blocks.1.0",
        "funnel.decoder.layers.0",
    ]
    assert all(stage.is_block for stage in walk.stages)


def test_blocks_that_are_run_without_being_called_have_no_influence() -> None:
    loaded = loaded_of("squeezebert as encoder")
    inputs = calls("encoder", vocabulary=loaded.model.config.vocab_size)
    with pytest.raises(UserError, match=r"^the influence of .*layers\.0 cannot be measured, .* use by=position$"):
        compress(loaded, "drop_layers:overall:0.5:by=influence", calibration=inputs)

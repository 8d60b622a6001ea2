"""Dropped blocks, against blocks replaced by the identity in the forward pass.

Covers ``compression.forms.dropped_weight`` and ``compression.surgery.block_dropping``.
"""

from __future__ import annotations

import copy
import re
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from models.architectures import ARCHITECTURES, logits_of, make_architecture, make_tokens
from scoring.batch_invariance.configurations import CONFIGURATIONS
from tiny_models import make_tokenizer
from torch import Tensor, nn
from transformers import AutoModelForCausalLM, PreTrainedModel

from forgetmeter.compression.applying.compressor import Compressor, compress
from forgetmeter.compression.applying.recipe_problems import recipe_problems
from forgetmeter.compression.calibrated.activations import Activations
from forgetmeter.models.loaded import Loaded
from forgetmeter.models.roles.weight_map import weight_map
from forgetmeter.specs.recipe import parse_recipe

# ALBERT's blocks share their weights.
DROPPABLE = [name for name in ARCHITECTURES if name != "albert"]


@cache
def loaded(name: str) -> Loaded:
    return Loaded(make_architecture(name), tokenizer=None, family="decoder", name=name)  # type: ignore[arg-type]


def pass_through(_module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> Any:
    before = args[0] if args else kwargs["hidden_states"]
    return before if isinstance(output, Tensor) else (before, *output[1:])


def with_idle_blocks(model: PreTrainedModel, layer: int) -> PreTrainedModel:
    twin = copy.deepcopy(model)
    for path, index in {block for matrix in weight_map(model) if (block := matrix.block)}:
        if index == layer:
            twin.get_submodule(f"{path}.{index}").register_forward_hook(pass_through, with_kwargs=True)
    return twin


@pytest.mark.parametrize("layer", [0, 1])
@pytest.mark.parametrize("name", DROPPABLE)
def test_a_dropped_block_has_no_effect(name: str, layer: int) -> None:
    if name == "deberta_v2" and layer == 0:
        pytest.skip("its convolution follows the first block there is")
    model = loaded(name).model
    said, settings = logits_of(model), model.config.to_dict()
    before = {key: id(value) for key, value in model.state_dict(keep_vars=True).items()}
    with Compressor(loaded(name)).applied(parse_recipe(f"drop_layers:layers[{layer}]/overall:1")) as result:
        torch.testing.assert_close(logits_of(model), logits_of(with_idle_blocks(loaded_again(name), layer)))
        assert not torch.equal(logits_of(model), said)
        assert result.reached.selected_zeros == result.reached.selected_weights
        assert result.reached.selected_weights == sum(
            matrix.size for matrix in weight_map(loaded_again(name)) if matrix.layer == layer
        )
        saved = 4 * result.reached.selected_weights
        assert result.reached.quantized_bytes == result.reached.dense_bytes - saved
    assert torch.equal(logits_of(model), said)
    assert model.config.to_dict() == settings
    assert {key: id(value) for key, value in model.state_dict(keep_vars=True).items()} == before


@cache
def loaded_again(name: str) -> PreTrainedModel:
    return make_architecture(name)


@pytest.mark.parametrize("name", DROPPABLE)
def test_the_remaining_model_can_be_saved_and_loaded(name: str, tmp_path: Path) -> None:
    other = compress(loaded(name), "drop_layers:overall:0.5+l1_unstructured:overall:0.2").model
    other.save_pretrained(tmp_path)
    reloaded = type(other).from_pretrained(tmp_path).eval()
    assert torch.equal(logits_of(reloaded), logits_of(other))
    assert {matrix.layer for matrix in weight_map(reloaded)} <= {0, None}


@pytest.mark.parametrize("name", ["llama", "gpt2", "gemma3_text"])
def test_a_cache_of_keys_and_values_still_works(name: str) -> None:
    other = compress(loaded(name), "drop_layers:layers[0]/overall:1").model
    tokens = make_tokens()
    with torch.inference_mode():
        first = other(input_ids=tokens[:, :4], use_cache=True)
        second = other(input_ids=tokens[:, 4:], past_key_values=first.past_key_values, use_cache=True)
    torch.testing.assert_close(second.logits, logits_of(other)[:, 4:], rtol=1e-4, atol=1e-4)


def make_deep(idle: int) -> Loaded:
    """Make a model of four blocks, one of which does almost nothing."""
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=61, hidden_size=32, intermediate_size=48, num_hidden_layers=4, num_attention_heads=4
    )
    model = LlamaForCausalLM(config).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(0, 0.2)
        for projection in (model.model.layers[idle].self_attn.o_proj, model.model.layers[idle].mlp.down_proj):
            projection.weight.mul_(1e-3)
    return Loaded(model, tokenizer=None, family="decoder", name="deep")  # type: ignore[arg-type]


def dropped(model: Loaded, recipe: str, **more: Any) -> list[int]:
    result = Compressor(model, **more).compressed(parse_recipe(recipe))
    return sorted({matrix.layer for matrix, weight in result.weights.items() if weight.is_dropped})  # type: ignore[type-var]


@pytest.mark.parametrize("idle", [0, 1, 3])
def test_the_block_of_least_influence_goes_first(idle: int) -> None:
    calibration = [{"input_ids": make_tokens()}, {"input_ids": make_tokens(rows=1, length=3)}]
    recipe = "drop_layers:overall:0.25:by=influence"
    assert dropped(make_deep(idle), recipe, calibration=calibration) == [idle]
    assert dropped(make_deep(idle), "drop_layers:overall:0.25") == [3]
    assert dropped(make_deep(idle), "drop_layers:overall:0.5") == [2, 3]


def test_influence_is_one_minus_the_mean_cosine() -> None:
    model = make_deep(1).model
    tokens = make_tokens()
    with torch.inference_mode():
        states = model(input_ids=tokens, output_hidden_states=True).hidden_states
    found = Activations(model, [{"input_ids": tokens}]).influence([("model.layers", index) for index in range(3)])
    for index in range(3):
        pairs = zip(states[index].flatten(0, 1), states[index + 1].flatten(0, 1), strict=True)
        cosines = [float(one @ other / one.norm() / other.norm()) for one, other in pairs]
        assert found["model.layers", index] == pytest.approx(1 - sum(cosines) / len(cosines), abs=1e-5)


def test_later_steps_see_the_remaining_blocks() -> None:
    result = Compressor(make_deep(0)).compressed(
        parse_recipe("drop_layers:overall:0.25+l1_unstructured:overall:0.5+dynamic_int8:overall")
    )
    sizes = {layer: sum(m.size for m in result.weights if m.layer == layer) for layer in range(4)}
    left = sum(sizes[layer] for layer in range(3))
    zeros = sum(int((weight.values() == 0).sum()) for matrix, weight in result.weights.items() if matrix.layer != 3)
    assert zeros >= round(0.5 * left)
    assert all(weight.is_dropped == (matrix.layer == 3) for matrix, weight in result.weights.items())


@pytest.mark.parametrize(
    ("name", "recipe", "says"),
    [
        ("llama", "drop_layers:overall:0.5:by=influence", "needs activations: pass token ids to calibrate on"),
        ("llama", "drop_layers:overall:1", "would drop all 2 blocks of model.layers"),
        ("albert", "drop_layers:overall:0.5:by=position", "level 0.5 of 1 block rounds to 0 blocks"),
        ("albert", "drop_layers:overall:1", "blocks that share weights, as in ALBERT, count as one"),
        ("t5", "drop_layers:encoder/overall:0.9", "would drop all 2 blocks of encoder.block"),
        ("llama", "drop_layers:attention:0.5", "the scope selects only part of model.layers.0"),
        ("llama", "drop_layers:head:0.5", "lm_head.weight is not part of any"),
    ],
)
def test_impossible_requests_are_refused_up_front(name: str, recipe: str, says: str) -> None:
    problems = Compressor(loaded(name)).check(parse_recipe(recipe))
    assert len(problems) == bool(says)
    assert says in "".join(problems)


def test_blocks_that_are_spread_over_several_lists_are_refused() -> None:
    """XLM holds attention and feed-forward layers in lists side by side."""
    matrices = weight_map(CONFIGURATIONS["xlm as encoder"].model())
    (problem,) = recipe_problems(parse_recipe("drop_layers:overall:0.5"), matrices)
    assert problem.endswith("are spread over several lists: transformer.attentions, transformer.ffns")


@pytest.mark.parametrize("by", ["position", "influence"])
@pytest.mark.parametrize("name", ["funnel as encoder", "gemma3n_text as decoder", "prophetnet as encoder-decoder"])
def test_a_configuration_that_cannot_lose_blocks_is_refused_up_front(name: str, by: str) -> None:
    model = CONFIGURATIONS[name].model()
    before = {path: id(module) for path, module in model.named_modules()}
    recipe = parse_recipe(f"drop_layers:overall:0.5:by={by}")
    problems = recipe_problems(recipe, weight_map(model), model=model)
    reason = r"( \(its second embedding holds an input for each block\)| \(no setting is their number\))?"
    says = f"their configuration cannot describe a model with only these blocks{reason}; choose other blocks"
    assert re.search(says, problems[0])
    assert {path: id(module) for path, module in model.named_modules()} == before


@pytest.mark.parametrize(
    ("name", "settings", "recipe", "constant"),
    [
        ("minicpm3 as decoder", {}, "drop_layers:overall:0.5", "residual_scale"),
        ("esmc as encoder", {}, "drop_layers:overall:0.5", "scaling_factor"),
        ("diffllama as decoder", {}, "drop_layers:layers[0]/overall:1", "lambda_init"),
        ("gpt2 as decoder", {"scale_attn_by_inverse_layer_idx": True}, "drop_layers:layers[0]/overall:1", "scaling"),
    ],
)
def test_constants_that_the_remaining_blocks_would_not_have_are_refused_up_front(
    name: str, settings: dict[str, Any], recipe: str, constant: str
) -> None:
    model = CONFIGURATIONS[name].model()
    if settings:
        model = type(model)(type(model.config)(**{**model.config.to_dict(), **settings}))
    (problem,) = recipe_problems(parse_recipe(recipe), weight_map(model), model=model)
    assert f"its {constant} depends on the index of each block, or on how many blocks there are" in problem


def test_a_block_whose_new_number_needs_a_part_that_only_a_dropped_one_has_is_refused_up_front() -> None:
    model = CONFIGURATIONS["rwkv as decoder"].model()
    (problem,) = recipe_problems(parse_recipe("drop_layers:layers[0]/overall:1"), weight_map(model), model=model)
    assert "(its block 0 needs pre_ln, which only a dropped block has); choose other blocks" in problem
    assert not recipe_problems(parse_recipe("drop_layers:layers[1]/overall:1"), weight_map(model), model=model)


@pytest.mark.parametrize("name", ["longt5 transient", "longt5 as encoder-decoder", "t5 as encoder-decoder"])
def test_all_relative_positions_move_to_the_first_block_that_remains(name: str, tmp_path: Path) -> None:
    model = CONFIGURATIONS[name].model()
    loaded = Loaded(model, make_tokenizer(), "encoder-decoder", name)
    ids = torch.arange(4, 24)[None]
    said = model(input_ids=ids, labels=ids).logits
    shorter = compress(loaded, "drop_layers:layers[0]/overall:1").model
    shorter.save_pretrained(tmp_path)
    again = type(model).from_pretrained(tmp_path).eval()
    found = shorter(input_ids=ids, labels=ids).logits
    torch.testing.assert_close(again(input_ids=ids, labels=ids).logits, found)
    assert not torch.allclose(found, said)


def test_constants_of_blocks_that_keep_their_numbers_are_kept() -> None:
    model = CONFIGURATIONS["diffllama as decoder"].model()
    assert recipe_problems(parse_recipe("drop_layers:overall:0.5"), weight_map(model), model=model) == []


def test_blocks_that_share_an_attention_keep_the_numbers_of_their_adapters() -> None:
    """Zamba 2's attention looks up an adapter by the number of the block that uses it."""
    model = CONFIGURATIONS["zamba2 as decoder"].model()
    compressor = Compressor(Loaded(model, None, "decoder", "zamba2"))  # type: ignore[arg-type]
    (problem,) = compressor.check(parse_recipe("drop_layers:layers[0-0]/overall:1"))
    assert "its attention finds its adapters by the numbers of the blocks that use it); choose other blocks" in problem
    assert not compressor.check(parse_recipe("drop_layers:layers[1-1]/overall:1"))


def test_a_step_whose_blocks_an_earlier_one_drops_is_refused_up_front() -> None:
    recipe = parse_recipe("drop_layers:layers[1]/overall:1+l1_unstructured:layers[1]/overall:0.5")
    (problem,) = Compressor(loaded("llama")).check(recipe)
    assert problem.startswith("nothing is left for 'l1_unstructured:layers[1]/overall:0.5'")


@pytest.mark.parametrize("name", ["qwen3_next as decoder", "granitemoehybrid as decoder", "bamba as decoder"])
def test_a_hybrid_that_loses_all_attention_still_runs_as_it_is_loaded(name: str, tmp_path: Path) -> None:
    """transformers' cache asks the attention of a hybrid model for the number of tokens."""
    model = CONFIGURATIONS[name].model()
    model.config.use_cache = True
    kinds = enumerate(model.config.layer_types)
    numbered = getattr(model.config, "attn_layer_indices", None)
    (place,) = numbered or [place for place, kind in kinds if kind in ("full_attention", "attention")]
    loaded = Loaded(model, make_tokenizer(), "decoder", name)
    shorter = compress(loaded, f"drop_layers:layers[{place}]/overall:1").model
    shorter.save_pretrained(tmp_path)
    again = AutoModelForCausalLM.from_pretrained(tmp_path)
    ids = torch.arange(4, 9)[None]
    with torch.inference_mode():
        torch.testing.assert_close(again(input_ids=ids).logits, shorter(input_ids=ids, use_cache=False).logits)
    assert model.config.use_cache


def test_groups_that_are_run_several_times_are_refused_before_any_work() -> None:
    """ALBERT's: their number is not that of its layers."""
    model = CONFIGURATIONS["albert as encoder"].model()
    model = type(model)(
        type(model.config)(**{**model.config.to_dict(), "num_hidden_layers": 4, "num_hidden_groups": 2})
    )
    recipe = parse_recipe("drop_layers:overall:0.5")
    (problem,) = recipe_problems(recipe, weight_map(model), model=model)
    assert problem.startswith("drop_layers does not support models of type albert")

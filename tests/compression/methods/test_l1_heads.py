"""Pruned heads, against a loop and against heads silenced in the forward pass."""

from __future__ import annotations

import copy
import re
from collections.abc import Callable
from functools import cache

import pytest
import torch
from models import wrappers
from models.architectures import ARCHITECTURES, logits_of, make_architecture
from models.roles.witness import tokens
from scoring.batch_invariance import configurations
from scoring.batch_invariance.configurations import CONFIGURATIONS
from torch import Tensor, nn
from transformers import AutoModelForCausalLM, BertConfig, EncoderDecoderConfig, EncoderDecoderModel, PreTrainedModel

from forgetmeter.compression.applying.compressor import Compressor
from forgetmeter.compression.applying.recipe_problems import recipe_problems
from forgetmeter.compression.forms.int8_weight import Int8Weight
from forgetmeter.models.family import Family
from forgetmeter.models.loaded import Loaded
from forgetmeter.models.roles.weight_map import weight_map
from forgetmeter.specs.recipe import parse_recipe
from forgetmeter.specs.role import Matrix, Role

# One key and value for all query heads of a layer: none can be removed.
ONE_GROUP = ("falcon_multi_query",)
HEADS = 4


@cache
def loaded(name: str) -> Loaded:
    return Loaded(make_architecture(name), tokenizer=None, family="decoder", name=name)  # type: ignore[arg-type]


def by_attention(name: str) -> dict[object, list[Matrix]]:
    found: dict[object, list[Matrix]] = {}
    for matrix in weight_map(loaded(name).model):
        if matrix.role.component == "attention":
            found.setdefault((matrix.stack, matrix.layer, matrix.role.attention), []).append(matrix)
    return found


def unit_values(model: nn.Module, matrix: Matrix) -> list[Tensor]:
    """Return the matrix's weights by unit: rows of query, key and value, columns of the output projection."""
    tensor = model.get_parameter(matrix.parameter).detach()
    tensor = tensor.t() if matrix.form == "conv1d" else tensor
    if matrix.role.part == "output":
        return list(tensor.t())
    ranges = matrix.ranges or ((0, len(tensor)),)
    return [tensor[at] for start, stop in ranges for at in range(start, stop)]


def removed_by_hand(name: str, level: float) -> dict[object, set[int]]:
    """Return the removed groups per attention: the smallest sums, but never an attention's largest."""
    everything = []
    for which, parts in by_attention(name).items():
        groups = min(heads_of(matrix) for matrix in parts)
        sums = [0.0] * groups
        for matrix in parts:
            units = unit_values(loaded(name).model, matrix)
            for at, unit in enumerate(units):
                sums[at * groups // len(units)] += float(unit.double().abs().sum())
        everything += [(total, which, at, total == max(sums)) for at, total in enumerate(sums)]
    weak = sorted((each for each in everything if not each[3]), key=lambda each: each[0])
    gone: dict[object, set[int]] = {which: set() for which in by_attention(name)}
    for _, which, at, _ in weak[: round(level * len(everything))]:
        gone[which].add(at)
    return gone


def heads_of(matrix: Matrix) -> int:
    assert matrix.heads is not None
    return matrix.heads


def silence(model: nn.Module, name: str, gone: dict[object, set[int]]) -> None:
    """Zero the heads' outputs at the input of the output projection."""
    for which, parts in by_attention(name).items():
        groups = min(heads_of(matrix) for matrix in parts)
        output = next(matrix for matrix in parts if matrix.role.part == "output")
        keep = torch.tensor([at not in gone[which] for at in range(groups)]).repeat_interleave(output.inputs // groups)
        model.get_submodule(output.module).register_forward_pre_hook(silencer(keep))


def silencer(keep: Tensor) -> Callable[[nn.Module, tuple[Tensor]], tuple[Tensor]]:
    return lambda _module, inputs: (inputs[0] * keep,)


@pytest.mark.parametrize("level", [0.25, 0.5])
@pytest.mark.parametrize("name", [name for name in ARCHITECTURES if name not in ONE_GROUP])
def test_removed_heads_are_silent_and_all_others_unchanged(name: str, level: float) -> None:
    gone = removed_by_hand(name, level)
    reference = copy.deepcopy(loaded(name).model)
    silence(reference, name, gone)
    total = sum(min(map(heads_of, parts)) for parts in by_attention(name).values())
    assert sum(map(len, gone.values())) == round(level * total)
    with Compressor(loaded(name)).applied(parse_recipe(f"l1_heads:attention:{level}")) as result:
        torch.testing.assert_close(logits_of(loaded(name).model), logits_of(reference), rtol=1e-4, atol=1e-4)
        for which, parts in by_attention(name).items():
            groups = min(map(heads_of, parts))
            for matrix in parts:
                units = unit_values(loaded(name).model, matrix)
                zero = {at * groups // len(units) for at, unit in enumerate(units) if not unit.any()}
                left = {at * groups // len(units) for at, unit in enumerate(units) if unit.any()}
                assert zero == gone[which]
                assert not zero & left
        share = round(level * total) / total
        assert result.reached.selected_zeros == round(share * result.reached.selected_weights)


REFUSED = {
    f"{name} as {family}"
    for family, names in {
        "decoder": "axk2 deepseek_v4 diffllama doge falcon falcon_mamba gpt_bigcode inkling2_text inkling_text jetmoe "
        "mamba mamba2 prophetnet reformer rwkv xlnet xlstm zaya",
        "encoder": "convbert fnet funnel ibert reformer squeezebert",
        "encoder-decoder": "fsmt prophetnet",
    }.items()
    for name in names.split()
} | {
    *("mamba as decoder with small weights", "convbert as encoder with small weights"),
    *("fnet as encoder with small weights", "falcon with alibi", "funnel with attention factorized"),
}
"""Without heads of their own, or with one group, or read by code of their block."""
WITH_SHARED_PARTS = (
    *("deepseek_v3 as decoder", "olmo2 as decoder", "minimax_m2 as decoder", "bitnet as decoder", "esmc as encoder"),
    *("diffllama as decoder", "hy_v4 as decoder"),
)


@configurations.each(WITH_SHARED_PARTS, without=("xmod as decoder", "xmod as encoder"))
def test_heads_that_stay_do_not_notice(name: str) -> None:
    configuration = CONFIGURATIONS[name]
    notice_nothing(configuration.model(), configuration.family, is_refused=name in REFUSED)


WRAPPERS_REFUSED = ("glm5_next", "inkling2", "inkling_mm_model")


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=() if name == "mistral_large4" else pytest.mark.architectures)
        for name in wrappers.WRAPPERS
    ],
)
def test_heads_that_stay_do_not_notice_in_wrappers(name: str) -> None:
    notice_nothing(wrappers.make_wrapper(name), "decoder", is_refused=name in WRAPPERS_REFUSED)


@torch.no_grad()
def notice_nothing(model: PreTrainedModel, family: Family, *, is_refused: bool) -> None:
    """Compare a model with its heads removed to the same model with nothing but their outputs silenced."""
    compressor, recipe = Compressor(Loaded(model, None, family, "model")), parse_recipe("l1_heads:attention:0.5")  # type: ignore[arg-type]
    problems = compressor.check(recipe)
    assert bool(problems) == is_refused
    if is_refused:
        for scope in re.findall(r"^l1_heads.* such as (\S+)$", problems[0]):
            assert compressor.check(parse_recipe(f"l1_heads:{scope}:0.25")) == []
        return
    before = model(**tokens(family)).logits
    outputs = {
        each.parameter for each in compressor.matrices if each.role == Role("attention", "output", each.role.attention)
    }
    with compressor.applied(recipe):
        after = model(**tokens(family)).logits
        silenced = {name: model.get_parameter(name).detach().clone() for name in outputs}
    for name, values in silenced.items():
        model.get_parameter(name).copy_(values)
    torch.testing.assert_close(model(**tokens(family)).logits, after, rtol=1e-4, atol=1e-4)
    assert not torch.equal(before, after)


def test_t5s_shared_relative_bias_is_kept() -> None:
    model = loaded("t5").model
    bias = model.encoder.block[0].layer[0].SelfAttention.relative_attention_bias.weight
    before = bias.detach().clone()
    with Compressor(loaded("t5")).applied(parse_recipe("l1_heads:encoder/attention:0.75")) as result:
        kept = model.encoder.block[0].layer[0].SelfAttention.relative_attention_bias.weight
        assert kept is bias
        assert torch.equal(kept, before)
        assert result.reached.selected_zeros == 0.75 * result.reached.selected_weights


def test_each_layer_by_itself() -> None:
    with Compressor(loaded("bert")).applied(parse_recipe("l1_heads:attention:0.5:pool=layer")):
        for layer in loaded("bert").model.bert.encoder.layer:
            rows = layer.attention.self.query.weight.view(HEADS, -1)
            assert sum(not head.any() for head in rows) == 2


def test_each_layer_keeps_its_strongest_head() -> None:
    model = make_architecture("bert")
    with torch.no_grad():
        for parameter in model.bert.encoder.layer[1].attention.parameters():
            parameter.mul_(1e-3)
    weak = Loaded(model, tokenizer=None, family="encoder", name="weak")  # type: ignore[arg-type]
    with Compressor(weak).applied(parse_recipe("l1_heads:attention:0.5")):
        left = [
            sum(bool(head.any()) for head in layer.attention.self.query.weight.view(HEADS, -1))
            for layer in model.bert.encoder.layer
        ]
    assert left == [3, 1]


def test_heads_of_quantized_layers_stay_8_bit() -> None:
    result = Compressor(loaded("llama")).compressed(parse_recipe("dynamic_int8:attention+l1_heads:attention:0.5"))
    for weight in result.weights.values():
        assert isinstance(weight.standalone(), Int8Weight)
    assert result.reached.selected_zeros >= 0.5 * result.reached.selected_weights


@pytest.mark.parametrize(
    ("name", "recipe", "says"),
    [
        (
            "bert",
            "l1_heads:attention:0.9",
            "would leave a layer without heads: 2 attention modules with 8 heads must keep one",
        ),
        (
            "llama",
            "l1_heads:attention:0.75",
            "must keep one each, so at most 2 can be removed",
        ),
        (
            "falcon_multi_query",
            "l1_heads:attention:0.5",
            "l1_heads cannot remove heads: 2 attention modules with 2 heads must",
        ),
        ("bert", "l1_heads:overall:0.5", "bert.encoder.layer.0.intermediate.dense.weight is not part of any"),
        (
            "bert",
            "l1_heads:paper/attention:0.5",
            "the scope selects no output in the self-attention of encoder layer 0",
        ),
        ("gpt2", "l1_heads:attention.query:0.5", "the scope selects no key in the self-attention of decoder layer 0"),
    ],
)
def test_impossible_requests_are_refused_up_front(name: str, recipe: str, says: str) -> None:
    (problem,) = Compressor(loaded(name)).check(parse_recipe(recipe))
    assert says in problem


def test_layers_that_use_the_keys_of_others_are_named() -> None:
    config = CONFIGURATIONS["gemma3n_text as decoder"].model().config
    config.num_hidden_layers, config.num_kv_shared_layers = 3, 1
    config.layer_types, config.activation_sparsity_pattern = ["full_attention"] * 3, [0.0] * 3
    config.intermediate_size = [48] * 3
    with torch.device("meta"):
        matrices = weight_map(AutoModelForCausalLM.from_config(config))
    (problem,) = recipe_problems(parse_recipe("l1_heads:attention:0.3"), matrices)
    assert "the model has no key in the self-attention of decoder layer 2; " in problem
    assert problem.endswith("choose another method")
    # The layers that lend theirs would take heads away from the last one.
    (problem,) = recipe_problems(parse_recipe("l1_heads:layers[0-1]/attention:0.3"), matrices)
    assert "self-attention of decoder layer 2 uses those of another layer, whose heads it would lose" in problem


def test_each_stack_of_two_configurations_has_its_own_heads() -> None:
    sizes = {"vocab_size": 64, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 1}
    encoder = BertConfig(**sizes, num_attention_heads=4)
    decoder = BertConfig(**sizes, num_attention_heads=8, is_decoder=True, add_cross_attention=True)
    with torch.device("meta"):
        model = EncoderDecoderModel(config=EncoderDecoderConfig.from_encoder_decoder_configs(encoder, decoder))
    heads = {(each.stack, each.heads) for each in weight_map(model) if each.role.component == "attention"}
    assert heads == {("encoder", 4), ("decoder", 8)}


@pytest.mark.parametrize("name", ["longcat_flash as decoder", "hrm_text as decoder"])
def test_attentions_that_share_a_layers_number_are_ranked_apart(name: str) -> None:
    """LongCat-Flash has two in each layer, and HRM-Text two lists of layers."""
    model = CONFIGURATIONS[name].model()
    outputs = [each for each in weight_map(model) if each.role.part == "output" and each.layer == 0]
    strong = [[True, True, False, False], [False, False, True, True]]
    for matrix, heads in zip(outputs, strong, strict=True):
        assert matrix.heads == 4
        with torch.no_grad():
            model.get_parameter(matrix.parameter).unflatten(1, (4, -1))[:, heads] *= 1000
    loaded = Loaded(model, tokenizer=None, family="decoder", name=name)  # type: ignore[arg-type]
    with Compressor(loaded).applied(parse_recipe("l1_heads:layers[0]/attention:0.5:pool=layer")):
        kept = [model.get_parameter(each.parameter).unflatten(1, (4, -1)).any(2).any(0).tolist() for each in outputs]
    assert kept == strong

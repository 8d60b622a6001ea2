"""Recipes that are refused up front."""

from __future__ import annotations

import pytest
import torch
from models.architectures import make_architecture
from models.wrappers import make_wrapper
from scoring.batch_invariance.configurations import CONFIGURATIONS
from torch import nn

from forgetmeter.compression.applying.compressor import Compressor, compress
from forgetmeter.compression.applying.recipe_problems import recipe_problems, recipes_of_unknown
from forgetmeter.errors import UserError
from forgetmeter.models.loaded import Loaded
from forgetmeter.models.roles.weight_map import weight_map
from forgetmeter.specs.recipe import Recipe, Step, parse_recipe
from forgetmeter.specs.scope import parse_scope, regex_scope


def strange() -> Loaded:
    model = make_architecture("llama")
    for layer in model.model.layers:
        layer.extra = nn.Linear(4, 5)
    model.model.table = nn.Parameter(torch.ones(2, 5))
    return Loaded(model, tokenizer=None, family="decoder", name="strange")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("scope", "ambiguous"),
    [
        ("overall", "3 weights of the model have an unknown role (first: model.table)"),
        ("attention.query", "3 weights of the model have an unknown role (first: model.table)"),
        (
            "layers[0]/feed_forward",
            "1 weight of the model has an unknown role (first: model.layers.0.extra.weight)",
        ),
        ("paper/overall", "3 weights of the model have an unknown role (first: model.table)"),
    ],
)
def test_weights_of_unknown_role_are_a_problem_for_scopes_by_role(scope: str, ambiguous: str) -> None:
    matrices = weight_map(strange().model)
    (problem,) = recipe_problems(parse_recipe(f"l1_unstructured:{scope}:0.5"), matrices)
    before, _, suggested = problem.partition("to select only those that are known to be in it, write ")
    assert before == f"scope '{scope}' is ambiguous: {ambiguous}; "
    recipe = parse_recipe(f"l1_unstructured:{suggested}:0.5")
    assert recipe_problems(recipe, matrices) == []
    without = [each for each in matrices if each.role.component != "unknown"]
    assert recipe.steps[0].scope.select(matrices) == parse_scope(scope).select(without)
    with pytest.raises(UserError, match="unknown role"):
        compress(strange(), f"l1_unstructured:{scope}:0.5")


@pytest.mark.parametrize(("scope", "is_clear"), [("encoder/overall", True), ("decoder/overall", False)])
def test_a_weight_of_unknown_role_is_a_problem_for_the_scopes_of_its_stack(scope: str, is_clear: bool) -> None:
    model = make_architecture("t5")
    model.decoder.block[0].extra = nn.Linear(4, 5)
    problems = recipe_problems(parse_recipe(f"l1_unstructured:{scope}:0.5"), weight_map(model))
    assert (problems == []) == is_clear


def test_a_component_that_a_method_can_take_whole_is_suggested_by_its_name() -> None:
    matrices = weight_map(CONFIGURATIONS["mixtral as decoder"].model())
    (problem,) = recipe_problems(parse_recipe("wanda:layers[1]/overall:0.5"), matrices)
    assert problem.endswith(
        "holds all experts of a block in one tensor; for the scope without them, write layers[1]/attention"
    )


@pytest.mark.parametrize("method", ["dynamic_int8:mixer", "gptq:mixer:4"])
def test_weights_that_a_method_cannot_take_are_left_out_by_the_suggested_scope(method: str) -> None:
    matrices = weight_map(CONFIGURATIONS["jamba as decoder"].model())
    (problem,) = recipe_problems(parse_recipe(method), matrices)
    assert "model.layers.0.mamba.dt_proj.weight" in problem
    assert "is read by its block's own code" in problem
    pattern = problem.partition("write ")[2]
    recipe = parse_recipe(method.replace("mixer", pattern))
    assert recipe_problems(recipe, matrices) == []
    left_out = {matrix.module.rpartition(".")[2] for matrix in matrices if matrix.role.component == "mixer"} - {
        matrix.module.rpartition(".")[2] for matrix in recipe.steps[0].scope.select(matrices)
    }
    assert left_out == {"dt_proj"}


@pytest.mark.parametrize(("scope", "is_clear"), [("overall", True), ("attention", True), ("attention.query", False)])
def test_weights_of_unknown_part_are_a_problem_for_scopes_by_part(scope: str, is_clear: bool) -> None:
    model = make_architecture("llama")
    model.model.layers[0].self_attn.extra = nn.Linear(4, 5)
    problems = recipe_problems(parse_recipe(f"l1_unstructured:{scope}:0.5"), weight_map(model))
    assert (problems == []) == is_clear
    assert is_clear or "ambiguous: 1 weight of the model has an unknown part" in problems[0]
    assert is_clear or r"write regex(model\.layers\.\d+\.self_attn\.q_proj\.weight)" in problems[0]


def test_a_scope_that_selects_nothing_beside_weights_of_unknown_role_says_how_to_select_these() -> None:
    """I-BERT's projections are its own modules, and its head is stored with its embedding."""
    matrices = weight_map(CONFIGURATIONS["ibert as encoder"].model())
    (problem,) = recipe_problems(parse_recipe("l1_unstructured:head:0.5"), matrices)
    assert problem == (
        "scope 'head' selects no weight matrix of the model (roles in this model: head_transform; others by name, such "
        r"as regex(ibert\.encoder\.layer\.\d+\.attention\.self\.query\.weight))"
    )
    (ambiguous,) = recipe_problems(parse_recipe("l1_unstructured:attention:0.5"), matrices)
    assert ambiguous.startswith("scope 'attention' is ambiguous: 12 weights of the model have an unknown role")
    (recipe,) = recipes_of_unknown(matrices)
    assert recipe == r"round_to_nearest:regex(ibert\.encoder\.layer\.\d+\.attention\.self\.query\.weight):8"
    assert len(recipes_of_unknown(weight_map(strange().model))) == 2


def test_only_a_few_of_many_unknown_weights_are_in_the_suggested_expression() -> None:
    model = make_architecture("gpt2")
    for number in range(9):
        setattr(model.transformer.h[0], f"extra{number}", nn.Linear(4, 5))
    # Queries are a part of a weight, which no expression selects.
    (problem,) = recipe_problems(parse_recipe("l1_unstructured:attention.query:0.5"), weight_map(model))
    assert "extra3" in problem
    assert "extra4" not in problem
    assert problem.endswith("), which selects the first of them (forgetmeter list scopes names all)")


def test_the_head_and_regular_expressions_can_still_be_selected() -> None:
    loaded = strange()
    recipe = Recipe((Step("l1_unstructured", regex_scope(r"extra|table|q_proj"), 1),))
    assert recipe_problems(recipe, weight_map(loaded.model)) == []
    with Compressor(loaded).applied(recipe) as compressed:
        assert compressed.reached.roles["unknown"].zeros == 2 * 20 + 10
        assert not loaded.model.model.layers[1].extra.weight.any()
        assert not loaded.model.model.table.any()
        assert not loaded.model.model.layers[0].self_attn.q_proj.weight.any()
    assert loaded.model.model.table.all()
    assert (
        recipe_problems(parse_recipe("dynamic_int8:regex(extra)+l1_unstructured:head:0.5"), weight_map(loaded.model))
        == []
    )


def test_only_linear_layers_and_experts_are_quantized() -> None:
    (problem,) = recipe_problems(parse_recipe("dynamic_int8:regex(table)"), weight_map(strange().model))
    assert problem == (
        "dynamic_int8 supports linear layers and experts, and model.table is not known to be a layer's weight; "
        "choose a scope without it"
    )


@pytest.mark.parametrize(
    ("scope", "says"),
    [
        (
            "regex(visual)",
            "only weights that recipes do not change: model.visual.patch_embed.proj.weight and 10 more (reads images "
            "or sound, not text)",
        ),
        (
            "regex(embed_tokens)",
            "only the token embedding (model.language_model.embed_tokens.weight), which has its own scope: write "
            "token_embedding",
        ),
        (
            "regex(nothing)",
            "no weight matrix of the model (its weights: model.language_model.layers.*.self_attn.q_proj.weight, ",
        ),
        ("cross_attention", "no weight matrix of the model (roles in this model: token_embedding, attention.query, "),
    ],
)
def test_a_scope_of_weights_that_are_left_alone_says_why(scope: str, says: str) -> None:
    model = make_wrapper("qwen2_vl")
    loaded = Loaded(model, tokenizer=None, family="decoder", name="wrapper")  # type: ignore[arg-type]
    recipe = parse_recipe(f"l1_unstructured:{scope}:0.5")
    (problem,) = recipe_problems(recipe, weight_map(model), model=model)
    assert problem.startswith(f"scope '{scope}' selects {says}")
    with pytest.raises(UserError) as refused:
        compress(loaded, recipe)
    assert str(refused.value) == problem


@pytest.mark.parametrize(("scope", "is_whole"), [("layers[0-1]/overall", True), ("layers[1-5]/attention", False)])
def test_a_range_of_layers_beyond_the_last_is_a_problem(scope: str, is_whole: bool) -> None:
    problems = recipe_problems(parse_recipe(f"l1_unstructured:{scope}:0.5"), weight_map(make_architecture("llama")))
    said = [] if is_whole else [f"scope '{scope}' ends at layer 5, but the model's last is 1; write layers[1-1]"]
    assert problems == said


@pytest.mark.parametrize(
    ("name", "recipe", "says"),
    [
        (
            "xlnet as decoder",
            "round_to_nearest:overall:4",
            "supports linear layers and experts, and transformer.layer.0.rel_attn.q (the first of 10 such weights) "
            "is an array, not a matrix of outputs and inputs",
        ),
        ("dbrx as decoder", "round_to_nearest:overall:4", "is an array, not a matrix of outputs and inputs"),
        ("mamba as decoder", "l1_heads:mixer:0.5", "is read by its block's own code, not through a linear layer"),
        (
            "mamba as decoder",
            "dynamic_int8:mixer",
            "dt_proj.weight (the first of 2 such weights) is read by its block's own code, not through a linear layer",
        ),
    ],
)
def test_a_refused_form_is_named_for_what_it_is(name: str, recipe: str, says: str) -> None:
    problems = recipe_problems(parse_recipe(recipe), weight_map(CONFIGURATIONS[name].model()))
    assert any(says in problem for problem in problems), problems


def test_all_problems_of_a_recipe_are_reported_at_once() -> None:
    recipe = parse_recipe(
        "round_to_nearest:overall:4+round_to_nearest:layers[1-5]/head:99+l1_unstructured:cross_attention:2+"
        "dynamic_int8:cross_attention"
    )
    found = recipe_problems(recipe, weight_map(make_architecture("llama")))
    assert [problem.partition(" (")[0] for problem in found] == [
        "invalid level 99: round_to_nearest takes an integer number of bits from 2 to 8",
        "invalid level 2: l1_unstructured takes a fraction from 0 to 1",
        "scope 'layers[1-5]/head' selects no weight matrix of the model",
        "scope 'cross_attention' selects no weight matrix of the model",
    ]
    order = recipe_problems(
        parse_recipe("round_to_nearest:overall:4+round_to_nearest:attention:4+dynamic_int8:cross_attention"),
        weight_map(make_architecture("llama")),
    )
    assert len(order) == 2
    assert "which already quantizes" in order[1]

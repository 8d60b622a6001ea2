"""A step always changes the model, or is refused."""

from __future__ import annotations

from functools import cache

import pytest
import torch
from models.architectures import logits_of, make_architecture
from transformers import LlamaConfig, LlamaForCausalLM

from forgetmeter.compression.applying.compressor import compress
from forgetmeter.compression.applying.recipe_problems import meaning, recipe_problems
from forgetmeter.compression.applying.step import is_unchanged
from forgetmeter.compression.forms.low_rank_weight import LowRankWeight
from forgetmeter.compression.forms.weight import DenseWeight
from forgetmeter.compression.registry import METHODS, load_method
from forgetmeter.errors import UserError
from forgetmeter.models.loaded import Loaded
from forgetmeter.models.roles.weight_map import weight_map
from forgetmeter.specs.recipe import parse_recipe

MODELS = [
    ("llama", torch.float32),
    ("llama", torch.bfloat16),
    ("gpt2", torch.float32),
    ("t5", torch.float32),
    ("mixtral", torch.float32),
]
FRACTIONS = (0, 1e-3, 0.1, 0.25, 0.5)
OPTIONS = {
    "l1_unstructured": ("", ":pool=matrix"),
    "l1_heads": ("", ":pool=layer"),
    "ln_structured": ("", ":dim=1"),
    "random_structured": ("", ":dim=1"),
    "cast": ("", ":dtype=float16"),
    "n_m": (":m=2:n=1",),
}


@cache
def loaded(name: str, dtype: torch.dtype = torch.float32) -> Loaded:
    model = make_architecture(name).to(dtype)
    return Loaded(model, tokenizer=None, family="decoder", name=name)  # type: ignore[arg-type]


def recipes(method: str) -> list[str]:
    kind = load_method(method).declaration.level
    levels = [f":{level}" for level in {"none": (), "fraction": FRACTIONS, "bits": (2, 4, 8)}[kind]] or [""]
    return [
        f"{method}:{scope}{level}{options}"
        for scope in ("attention", "overall")
        for level in levels
        for options in OPTIONS.get(method, ("",))
    ]


@pytest.mark.parametrize(("name", "dtype"), MODELS)
@pytest.mark.parametrize("method", [name for name in METHODS.built_in if "torchao" not in name])
def test_every_recipe_changes_something_or_is_refused(method: str, name: str, dtype: torch.dtype) -> None:
    """The reference is the full state and the logits, computed without the code under test."""
    model = loaded(name, dtype)
    state, said = model.model.state_dict(), logits_of(model.model)
    for recipe in recipes(method):
        try:
            other = compress(model, recipe).model
        except UserError:
            continue
        after = other.state_dict()
        same_state = state.keys() == after.keys() and all(torch.equal(state[key], after[key]) for key in state)
        assert not (same_state and torch.equal(logits_of(other), said)), recipe


@pytest.mark.parametrize(
    ("recipe", "says"),
    [
        ("l1_unstructured:attention:0", "weights rounds to 0 weights"),
        (
            "random_unstructured:attention.key:0.0009",
            "level 0.0009 of 512 weights rounds to 0 weights; a level above 1/1,024 removes some",
        ),
        ("l1_unstructured:attention:0.0003:pool=matrix", "rounds to 0 weights"),
        ("ln_structured:attention.query:0.01", "units rounds to 0 units"),
        ("svd:overall:0.01", "singular values rounds to 0 singular values"),
        ("drop_layers:overall:0.2", "level 0.2 of 2 blocks rounds to 0 blocks; a level above 1/4 removes some"),
        ("l1_unstructured:overall:0.5+svd:overall:0.01", "'svd:overall:0.01' changes nothing"),
    ],
)
def test_a_level_that_rounds_to_nothing_is_refused_by_shape(recipe: str, says: str) -> None:
    problems = recipe_problems(parse_recipe(recipe), weight_map(loaded("llama").model))
    assert len(problems) == 1
    assert "changes nothing" in problems[0]
    assert says in problems[0]


def test_one_key_value_head_cannot_lose_half_of_it() -> None:
    config = LlamaConfig(
        vocab_size=20,
        hidden_size=16,
        intermediate_size=16,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=1,
    )
    problems = recipe_problems(parse_recipe("l1_heads:attention:0.5:pool=layer"), weight_map(LlamaForCausalLM(config)))
    assert problems == ["'l1_heads:attention:0.5:pool=layer' changes nothing: level 0.5 of 1 head rounds to 0 heads"]


@pytest.mark.parametrize(
    ("recipe", "idle"),
    [
        ("l1_unstructured:overall:0.5+l1_unstructured:overall:0.3", "l1_unstructured:overall:0.3"),
        ("n_m:overall+n_m:overall:m=4:n=1", "n_m:overall:m=4:n=1"),
        ("ln_structured:overall:0.5+ln_structured:overall:0.5", "ln_structured:overall:0.5"),
        ("cast:overall+cast:overall", "cast:overall"),
    ],
)
def test_problems_visible_only_in_the_weights_are_refused_once_loaded(recipe: str, idle: str) -> None:
    assert recipe_problems(parse_recipe(recipe), weight_map(loaded("llama").model)) == []
    with pytest.raises(UserError, match=f"^'{idle}' changes nothing in llama: every selected weight"):
        compress(loaded("llama"), recipe)


def test_a_model_that_is_already_pruned() -> None:
    half = compress(loaded("llama"), "l1_unstructured:overall:0.5")
    with pytest.raises(UserError, match="changes nothing"):
        compress(half, "l1_unstructured:overall:0.3")
    compress(half, "l1_unstructured:overall:0.6")


def test_a_cast_to_the_models_own_dtype() -> None:
    with pytest.raises(UserError, match="changes nothing"):
        compress(loaded("llama", torch.bfloat16), "cast:overall:dtype=bfloat16")


@pytest.mark.parametrize("level", [0.2, 0.5, 0.9])
@pytest.mark.parametrize("stored", [torch.float64, torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("computed", [torch.float64, torch.float32, torch.bfloat16])
def test_a_model_whose_rank_is_already_as_low(level: float, stored: torch.dtype, computed: torch.dtype) -> None:
    """A second decomposition of the same rank differs by rounding, of computation and of storage."""
    again = f"svd:overall:{level}"
    low = compress(loaded("llama", stored), again)
    low.model.to(computed)
    with pytest.raises(UserError, match=f"^'{again}' changes nothing in"):
        compress(low, again)
    compress(low, f"svd:overall:{level + 0.1}")


@pytest.mark.parametrize("level", [0.05, 0.5])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_rank_of_a_model_is_reduced_once(level: float, dtype: torch.dtype) -> None:
    compress(loaded("llama", dtype), f"svd:overall:{level}")
    with pytest.raises(UserError, match=f"^'svd:attention:{level}' changes nothing"):
        compress(loaded("llama", dtype), f"svd:overall:{level + 0.1}+svd:attention:{level}")


def test_one_expert_of_a_higher_rank_is_a_change() -> None:
    low = torch.randn(64, 8, 1) @ torch.randn(64, 1, 8)
    rounded = low * (1 + 1e-6)
    assert is_unchanged(DenseWeight(low), LowRankWeight(rounded, 1))
    assert not is_unchanged(DenseWeight(low), DenseWeight(rounded))
    rounded[3] += 1e-4 * torch.randn(8, 8)
    assert not is_unchanged(DenseWeight(low), LowRankWeight(rounded, 1))
    assert is_unchanged(DenseWeight(torch.zeros(4, 4)), LowRankWeight(torch.zeros(4, 4), 0))


def test_comparing_does_not_depend_on_strides_and_signs_of_zero() -> None:
    values = torch.randn(7, 5)
    values[0, 0] = 0.0
    other = values.t().contiguous().t()
    other[0, 0] = -0.0
    assert is_unchanged(DenseWeight(values), DenseWeight(other))
    other[6, 4] += 1
    assert not is_unchanged(DenseWeight(values), DenseWeight(other))
    assert not is_unchanged(DenseWeight(values), DenseWeight(values.to(torch.bfloat16)))


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("l1_unstructured:attention:0.5", "l1_unstructured:layers[0-1]/attention:0.5", True),
        ("l1_unstructured:attention:0.5", "l1_unstructured:attention:0.5:pool=global", True),
        ("l1_unstructured:attention:0.5", "l1_unstructured:regex(self_attn):0.5", True),
        ("l1_unstructured:attention:0.5", "l1_unstructured:paper/attention:0.5", False),
        ("l1_unstructured:attention:0.5", "l1_unstructured:layers[0]/attention:0.5", False),
        ("l1_unstructured:attention:0.5", "l1_unstructured:attention:0.5:pool=matrix", False),
        ("svd:attention:0.5+n_m:feed_forward", "n_m:feed_forward+svd:attention:0.5", True),
        ("svd:attention:0.5+n_m:overall", "n_m:overall+svd:attention:0.5", False),
        (
            "svd:layers[0]/overall:0.5+n_m:layers[1]/overall+n_m:head",
            "n_m:head+n_m:layers[1]/overall+svd:layers[0]/overall:0.5",
            True,
        ),
    ],
)
def test_recipes_with_two_spellings(one: str, other: str, same: bool) -> None:
    matrices = weight_map(loaded("llama").model)
    assert (meaning(parse_recipe(one), matrices) == meaning(parse_recipe(other), matrices)) is same

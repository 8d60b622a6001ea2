"""Recipes applied to a tiny random model."""

import pytest
import torch
from transformers import LlamaForCausalLM

from forgetmeter.compression.applying import compressor
from forgetmeter.compression.applying import recipe_problems as recipe_problems_module
from forgetmeter.compression.applying.compressor import Compressor, compress
from forgetmeter.compression.applying.recipe_problems import recipe_problems
from forgetmeter.compression.forms.int8_weight import DynamicInt8Linear, Int8Weight
from forgetmeter.compression.method import PruningMethod
from forgetmeter.errors import ManyUserError, UserError
from forgetmeter.models.roles.weight_map import weight_map
from forgetmeter.specs.method import MethodDeclaration
from forgetmeter.specs.recipe import parse_recipe

PRUNE_THEN_QUANTIZE = "l1_unstructured:overall:0.4+dynamic_int8:overall"
QUANTIZE_THEN_PRUNE = "dynamic_int8:overall+l1_unstructured:overall:0.4"


def contents(model):
    return {name: value.detach().clone() for name, value in model.state_dict().items()}


def assert_same_contents(model, before):
    after = model.state_dict()
    assert after.keys() == before.keys()
    assert all(torch.equal(after[name], value) for name, value in before.items())


class CountingMethod(PruningMethod):
    """A pruning method that counts its preparations."""

    prepared = 0

    def prepare(self, units, options, *, seed):
        type(self).prepared += 1
        return super().prepare(units, options, seed=seed)


@pytest.fixture
def counting(monkeypatch):
    """Install a method that zeroes everything and counts its preparations."""

    def rank(tensors, options, *, seed):
        return lambda _level: iter([torch.zeros(tensor.shape, dtype=torch.bool) for tensor in tensors])

    method = CountingMethod(MethodDeclaration("counting", "s", "r", "fraction"), rank)
    CountingMethod.prepared = 0
    for module in (compressor, recipe_problems_module):
        monkeypatch.setattr(module, "load_method", lambda _name: method)
    return CountingMethod


def test_order_matters(make_loaded, logits):
    loaded = make_loaded()
    compressor = Compressor(loaded)
    with compressor.applied(parse_recipe(PRUNE_THEN_QUANTIZE)) as first:
        first_logits = logits(loaded.model)
    with compressor.applied(parse_recipe(QUANTIZE_THEN_PRUNE)) as second:
        second_logits = logits(loaded.model)
    assert not torch.equal(first_logits, second_logits)
    assert all(isinstance(weight, Int8Weight) for weight in second.weights.values())
    assert second.reached.selected_zeros >= round(0.4 * second.reached.selected_weights)
    assert any(
        not torch.equal(first.weights[matrix].integers, second.weights[matrix].integers) for matrix in first.weights
    )


def test_only_selected_matrices_are_in_the_result(make_loaded):
    loaded = make_loaded()
    compressed = Compressor(loaded).compressed(parse_recipe("l1_unstructured:attention.key:0.5+dynamic_int8:head"))
    assert {str(matrix.role) for matrix in compressed.weights} == {"attention.key", "head"}
    assert compressed.seconds > 0
    assert Compressor(loaded).compressed(parse_recipe("baseline")).weights == {}


def test_the_model_is_restored_after_each_recipe(make_loaded, logits):
    loaded = make_loaded(tied=True)
    before, said = contents(loaded.model), logits(loaded.model)
    compressor = Compressor(loaded)
    for text in (
        "baseline",
        PRUNE_THEN_QUANTIZE,
        "l1_unstructured:head:0.9",
        "dynamic_int8:head",
        QUANTIZE_THEN_PRUNE,
    ):
        recipe = parse_recipe(text)
        compressor.compressed(recipe)
        assert_same_contents(loaded.model, before)
        with compressor.applied(recipe):
            assert torch.equal(logits(loaded.model), said) == (text == "baseline")
        assert_same_contents(loaded.model, before)
        assert loaded.model.lm_head.weight is loaded.model.model.embed_tokens.weight
        assert torch.equal(logits(loaded.model), said)


def test_results_do_not_depend_on_earlier_recipes(make_loaded):
    loaded = make_loaded()
    compressor = Compressor(loaded)
    texts = [f"l1_unstructured:{scope}:{level}" for level in (0.2, 0.7) for scope in ("attention", "overall")]
    texts += [f"{text}:pool=matrix" for text in texts] + [PRUNE_THEN_QUANTIZE]
    for text in (*texts, *texts):
        recipe = parse_recipe(text)
        shared, alone = compressor.compressed(recipe), Compressor(loaded).compressed(recipe)
        assert shared.reached == alone.reached
        for matrix, weight in shared.weights.items():
            assert torch.equal(weight.values(), alone.weights[matrix].values())


def test_levels_of_a_grid_share_one_preparation(make_loaded, counting):
    compressor = Compressor(make_loaded())
    for scope in ("attention", "feed_forward", "overall"):
        for level in (0.1, 0.5, 0.9):
            compressor.compressed(parse_recipe(f"counting:{scope}:{level}"))
    assert counting.prepared == 3
    compressor.compressed(parse_recipe("counting:attention:0.3+counting:feed_forward:0.4"))
    assert counting.prepared == 3, "the second step works on matrices that the first one left alone"
    compressor.compressed(parse_recipe("counting:attention:0.3+counting:overall:0.4"))
    assert counting.prepared == 4, "the second step works on what the first one left"


def test_old_preparations_are_dropped(make_loaded, counting):
    compressor = Compressor(make_loaded())
    scopes = ("attention", "feed_forward", "overall", "head", "attention.key", "attention")
    for scope in scopes:
        compressor.compressed(parse_recipe(f"counting:{scope}:0.5"))
    assert counting.prepared == len(scopes)


def test_check_reports_every_problem(make_loaded):
    recipe = parse_recipe(
        "l1_unstructred:attention:0.5+dynamic_int8:encoder/attention:0.5+l1_unstructured:head:2:pol=1"
    )
    problems = Compressor(make_loaded()).check(recipe)
    assert problems == recipe_problems(recipe, weight_map(make_loaded().model))
    assert len(problems) == 5
    assert "unknown method 'l1_unstructred'; did you mean 'l1_unstructured'?" in problems[0]
    assert "level 0.5: dynamic_int8 takes no level" in problems[1]
    assert "level 2" in problems[2]
    assert "no option 'pol'" in problems[3]
    assert "encoder/attention" in problems[4]


def test_a_sound_recipe_has_no_problems(make_loaded):
    assert Compressor(make_loaded()).check(parse_recipe(PRUNE_THEN_QUANTIZE)) == []


def test_wrong_recipes_are_refused_up_front(make_loaded):
    loaded = make_loaded()
    with pytest.raises(UserError, match="selects no weight matrix"):
        compress(loaded, "l1_unstructured:encoder/attention:0.5")
    with pytest.raises(ManyUserError) as caught:
        compress(loaded, "l1_unstructured:attention:1.5+dynamic_int8:layers[7]/attention")
    assert len(caught.value.messages) == 2
    with pytest.raises(UserError, match="takes a fraction"):
        compress(loaded, "l1_unstructured:attention")
    with pytest.raises(UserError, match="is not a valid compression step"):
        compress(loaded, "nonsense")


@pytest.mark.parametrize(
    "recipe",
    ["l1_unstructured:overall:0.5", "l1_unstructured:overall:0.5:pool=matrix", "dynamic_int8:overall"],
)
def test_nan_is_reported_by_name(make_loaded, recipe):
    loaded = make_loaded()
    with torch.no_grad():
        loaded.model.model.layers[1].mlp.up_proj.weight[3, 3] = float("nan")
    with pytest.raises(UserError, match=r"^model\.layers\.1\.mlp\.up_proj\.weight of tiny holds NaN"):
        Compressor(loaded).compressed(parse_recipe(recipe))


def test_compress_returns_a_copy(make_loaded, logits):
    loaded = make_loaded(tied=True)
    before, said = contents(loaded.model), logits(loaded.model)
    other = compress(loaded, "l1_unstructured:overall:0.5")
    assert other.name == "tiny+l1_unstructured:overall:0.5"
    assert other.model is not loaded.model
    assert other.model.lm_head.weight is other.model.model.embed_tokens.weight
    assert other.model.config.tie_word_embeddings is True
    assert not torch.equal(logits(other.model), said)
    with torch.no_grad():
        for parameter in other.model.parameters():
            parameter.zero_()
    assert_same_contents(loaded.model, before)
    assert torch.equal(logits(loaded.model), said)


def test_compressing_to_the_baseline_is_a_copy(make_loaded, logits):
    loaded = make_loaded()
    other = compress(loaded, "baseline")
    assert other.name == loaded.name
    assert torch.equal(logits(other.model), logits(loaded.model))
    assert other.model.lm_head.weight.data_ptr() != loaded.model.lm_head.weight.data_ptr()


def test_a_quantized_copy_can_be_copied(make_loaded, logits):
    other = compress(make_loaded(), "dynamic_int8:overall")
    assert isinstance(other.model.model.layers[0].mlp.up_proj, DynamicInt8Linear)
    assert torch.equal(logits(compress(other, "baseline").model), logits(other.model))


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize(
    "recipe", ["l1_unstructured:head:0.3+l1_unstructured:overall:0.5", "l1_unstructured:overall:0.5"]
)
def test_saved_and_reloaded_models_give_the_same_logits(make_loaded, logits, tmp_path, tied, recipe):
    loaded = make_loaded(tied=tied)
    embedding = loaded.model.model.embed_tokens.weight.detach().clone()
    other = compress(loaded, recipe)
    other.model.save_pretrained(tmp_path)
    reloaded = LlamaForCausalLM.from_pretrained(tmp_path).eval()
    assert torch.equal(logits(reloaded), logits(other.model))
    assert torch.equal(reloaded.model.embed_tokens.weight, embedding)
    still_tied = tied and "head" not in recipe
    assert reloaded.config.tie_word_embeddings is still_tied
    assert (reloaded.lm_head.weight is reloaded.model.embed_tokens.weight) is still_tied


@pytest.mark.parametrize("wrong", [{"recipe": "l1_heads:attention:0.99"}, {"seed": -1}])
def test_a_wrong_request_is_refused_before_the_model_is_copied(make_loaded, monkeypatch, wrong):
    loaded = make_loaded()
    monkeypatch.setattr("copy.deepcopy", lambda _: pytest.fail("copied"))
    with pytest.raises(UserError):
        compress(loaded, **{"recipe": "l1_unstructured:overall:0.5", **wrong})

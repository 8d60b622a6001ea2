"""Short training after compression, against plain autograd on a copy of the model.

Covers ``compression.methods.lora_recover``, ``compression.calibrated.distillation`` and
``compression.calibrated.blanks``.
"""

from __future__ import annotations

import copy

import pytest
import torch
from models.architectures import make_architecture
from scoring.batch_invariance.configurations import CONFIGURATIONS
from tiny_models import make_bert, make_llama, make_t5, make_t5_tokenizer, make_tokenizer, make_wordpiece_tokenizer
from torch.nn.functional import cross_entropy, kl_div, log_softmax

from forgetmeter.compression.applying.compressor import Compressor, compress
from forgetmeter.compression.applying.recipe_problems import recipe_problems
from forgetmeter.compression.calibrated.blanks import Blanks
from forgetmeter.compression.forms.weight import cut
from forgetmeter.errors import UserError
from forgetmeter.models.loaded import Loaded
from forgetmeter.models.loading import wrap
from forgetmeter.models.roles.weight_map import weight_map
from forgetmeter.specs.recipe import parse_recipe

HALF = "l1_unstructured:overall:0.5"
RECOVERED = f"{HALF}+lora_recover:overall"


def llama():
    return wrap(make_llama(), make_tokenizer())


def bert():
    tokenizer = make_wordpiece_tokenizer()
    return wrap(make_bert(len(tokenizer)), tokenizer)


def t5():
    return wrap(make_t5(), make_t5_tokenizer())


def architecture(name):
    model = CONFIGURATIONS[name].model() if name in CONFIGURATIONS else make_architecture(name)
    return Loaded(model, make_tokenizer(), "encoder" if name == "albert" else "decoder", name)


def calls(loaded, *, rows=8, length=12):
    random = torch.Generator().manual_seed(1)
    ids = torch.randint(5, 40, (rows, length), generator=random)
    return [{"input_ids": ids} | ({"labels": ids} if loaded.family == "encoder-decoder" else {})]


def distance(loaded, variant, texts):
    inputs, asked = Blanks.of(loaded.tokenizer).put_in(texts[0], torch.Generator().manual_seed(5))
    with torch.no_grad():
        wanted, found = (log_softmax(each.model(**inputs).logits[asked], dim=-1) for each in (loaded, variant))
    return float(kl_div(found, wanted, log_target=True, reduction="batchmean"))


@pytest.mark.parametrize("make", [llama, bert, t5])
def test_predictions_return_towards_the_originals_and_zeros_stay(make) -> None:
    loaded = make()
    texts = calls(loaded)
    before = {name: tensor.clone() for name, tensor in loaded.model.state_dict().items()}
    pruned = compress(loaded, HALF)
    recovered = compress(loaded, f"{RECOVERED}:steps=60:learning_rate=0.01", calibration=texts)
    assert distance(loaded, recovered, texts) < 0.7 * distance(loaded, pruned, texts)
    for matrix in weight_map(loaded.model):
        one, other = (each.model.get_parameter(matrix.parameter) for each in (pruned, recovered))
        assert torch.equal(one == 0, other == 0)
    assert all(torch.equal(tensor, before[name]) for name, tensor in loaded.model.state_dict().items())
    assert all(parameter.grad is None for parameter in loaded.model.parameters())


@pytest.mark.parametrize("scope", ["overall", "attention.query", "layers[1-1]/feed_forward"])
def test_the_first_step_is_adamws_on_the_gradient_of_plain_autograd(scope) -> None:
    loaded, rate = llama(), 0.01
    texts = calls(loaded, rows=2)
    pruned = compress(loaded, HALF)
    step = f"lora_recover:{scope}:rank=4:steps=1:learning_rate={rate}"
    recovered = compress(loaded, f"{HALF}+{step}", calibration=texts, seed=3)
    student = copy.deepcopy(pruned.model)
    for parameter in student.parameters():
        parameter.requires_grad_()
    probabilities = torch.softmax(loaded.model(**texts[0]).logits.detach(), dim=-1)
    cross_entropy(student(**texts[0]).logits.flatten(0, 1), probabilities.flatten(0, 1)).backward()
    random = torch.Generator().manual_seed(3)
    selected = parse_recipe(step).steps[0].scope.select(weight_map(loaded.model))
    ups, downs = [], []
    for matrix in selected:
        weight = student.get_parameter(matrix.parameter)
        downs.append(torch.randn(4, weight.shape[1], generator=random) / weight.shape[1] ** 0.5)
        ups.append((weight.grad * (weight != 0)) @ downs[-1].t())
    norm = torch.stack([gradient.norm() for gradient in ups]).norm()
    for matrix, gradient, down in zip(selected, ups, downs, strict=True):
        clipped = gradient * min(1.0, 1 / (float(norm) + 1e-6))
        up = -rate * clipped / (clipped.abs() + 1e-8)
        weight = student.get_parameter(matrix.parameter).detach()
        expected = weight + (up @ down) * (weight != 0)
        found = recovered.model.get_parameter(matrix.parameter)
        # Where a gradient is all rounding, so is the sign of the step.
        alike = (found - expected).abs() < 1e-5
        assert alike.float().mean() > 0.99
    rest = {matrix.parameter for matrix in weight_map(loaded.model)} - {matrix.parameter for matrix in selected}
    assert all(torch.equal(recovered.model.get_parameter(each), pruned.model.get_parameter(each)) for each in rest)


@pytest.mark.parametrize("name", ["gpt2", "gpt_oss as decoder", "zamba as decoder", "phi3", "albert"])
def test_fused_shared_and_expert_weights_are_trained(name) -> None:
    loaded = architecture(name)
    texts = calls(loaded, rows=4)
    pruned = compress(loaded, HALF)
    recovered = compress(loaded, f"{RECOVERED}:steps=40:learning_rate=0.01", calibration=texts)
    assert distance(loaded, recovered, texts) < 0.9 * distance(loaded, pruned, texts)


def test_part_of_a_fused_weight_changes_alone() -> None:
    loaded = architecture("gpt2")
    texts = calls(loaded)
    recipe = "l1_unstructured:attention.query:0.5+lora_recover:attention.query:steps=5"
    pruned, recovered = (compress(loaded, each, calibration=texts) for each in (recipe.partition("+")[0], recipe))
    queries = parse_recipe(recipe).steps[0].scope.select(weight_map(loaded.model))
    for matrix in queries:
        one, other = (each.model.get_parameter(matrix.parameter) for each in (pruned, recovered))
        (start, stop), axis = matrix.ranges[0], matrix.axis
        changed = (one != other).any(dim=1 - axis)
        assert changed[start:stop].all()
        assert not changed[:start].any()
        assert not changed[stop:].any()


def test_parts_of_a_fused_weight_in_several_forms_are_trained_together() -> None:
    loaded = architecture("gpt2")
    texts = calls(loaded)
    first = "svd:attention.query:0.5+l1_unstructured:attention.value:0.9"
    recipe = f"{first}+lora_recover:attention:steps=40:learning_rate=0.01"
    before, recovered = (compress(loaded, each, calibration=texts) for each in (first, recipe))
    for scope in ("query", "key", "value"):
        for matrix in parse_recipe(f"cast:attention.{scope}").steps[0].scope.select(weight_map(loaded.model)):
            one, other = (
                cut(each.model.get_parameter(matrix.parameter), matrix.axis, matrix.ranges)
                for each in (before, recovered)
            )
            assert not torch.equal(one, other)
    assert distance(loaded, recovered, texts) < distance(loaded, before, texts)


def test_the_same_seed_gives_the_same_weights_and_another_does_not() -> None:
    loaded = llama()
    texts = calls(loaded)
    one, same, other = (
        compress(loaded, f"{RECOVERED}:steps=3", seed=seed, calibration=texts).model.state_dict() for seed in (0, 0, 1)
    )
    assert all(torch.equal(one[name], same[name]) for name in one)
    assert any(not torch.equal(one[name], other[name]) for name in one)


def test_dropped_layers_are_followed_by_training_of_the_rest() -> None:
    loaded = llama()
    texts = calls(loaded)
    recipe = "drop_layers:overall:0.5:by=influence+lora_recover:overall:steps=30:learning_rate=0.01"
    dropped, recovered = (compress(loaded, each, calibration=texts) for each in (recipe.partition("+")[0], recipe))
    assert distance(loaded, recovered, texts) < distance(loaded, dropped, texts)


def test_integers_can_follow() -> None:
    loaded = llama()
    compressor = Compressor(loaded, calibration=calls(loaded))
    recipe = parse_recipe(f"{RECOVERED}:steps=2+round_to_nearest:overall:4")
    assert not compressor.check(recipe)
    assert (
        compressor.compressed(recipe).reached.quantized_bytes
        < compressor.compressed(parse_recipe(HALF)).reached.quantized_bytes
    )


@pytest.mark.parametrize(
    ("recipe", "problem"),
    [
        ("lora_recover:overall", "undoes the damage of earlier steps, and there are none"),
        ("round_to_nearest:overall:4+lora_recover:overall", "quantized weights can only be pruned"),
        (f"{HALF}+lora_recover:overall:rank=0", "invalid option rank=0"),
        (
            "dynamic_int8:attention+lora_recover:feed_forward",
            "trains the model, and the kernels of 'dynamic_int8:attention' have no gradients: put it before that one",
        ),
        ("smoothquant:attention+lora_recover:feed_forward", "kernels of 'smoothquant:attention' have no gradients"),
        (f"{HALF}+lora_recover:overall:0.5", "takes no level"),
    ],
)
def test_recipes_that_cannot_work_are_refused(recipe, problem) -> None:
    assert any(problem in each for each in recipe_problems(parse_recipe(recipe), weight_map(make_llama())))


def test_a_tied_head_is_trained_as_it_is_returned() -> None:
    """On weights of its own: the embedding stays as it was."""
    tied, apart = (wrap(make_llama(tied=True), make_tokenizer()) for _ in range(2))
    head = apart.model.lm_head
    head.weight = torch.nn.Parameter(head.weight.detach().clone())
    apart.model.config.tie_word_embeddings = False
    apart.model.all_tied_weights_keys, apart.model._tied_weights_keys = {}, {}
    recipe = "l1_unstructured:feed_forward:0.6+lora_recover:head:steps=20:learning_rate=0.01"
    found = [compress(each, recipe, calibration=calls(each)).model for each in (tied, apart)]
    assert torch.equal(found[0].lm_head.weight, found[1].lm_head.weight)
    assert not torch.equal(found[0].lm_head.weight, tied.model.lm_head.weight)
    assert torch.equal(found[0].model.embed_tokens.weight, tied.model.model.embed_tokens.weight)


def test_weights_stored_in_16_bits_stay_so() -> None:
    loaded = llama()
    recipe = parse_recipe("cast:overall+l1_unstructured:overall:0.5+lora_recover:overall:steps=2")
    compressor = Compressor(loaded, calibration=calls(loaded))
    found = compressor.compressed(recipe).weights.values()
    assert {(weight.standalone().bits(), weight.values().dtype) for weight in found} == {(16, torch.bfloat16)}
    with compressor.applied(recipe):
        assert {parameter.dtype for parameter in loaded.model.parameters()} == {torch.float32}


def test_it_needs_texts() -> None:
    with pytest.raises(UserError, match="needs activations"):
        compress(llama(), RECOVERED)


def test_a_loss_that_is_not_finite_is_an_error() -> None:
    loaded = llama()
    with torch.no_grad():
        loaded.model.model.norm.weight.fill_(float("inf"))
    with pytest.raises(UserError, match="cannot be trained: the loss of step 1 is nan"):
        compress(loaded, RECOVERED, calibration=calls(loaded))


@pytest.mark.parametrize("seed", range(5))
def test_blanks_are_in_the_format_of_the_model(seed) -> None:
    random, ids = torch.Generator().manual_seed(seed), torch.arange(10, 30).view(2, 10)
    inputs, asked = Blanks(mask=4).put_in({"input_ids": ids}, random)
    assert torch.equal(inputs["input_ids"], torch.where(asked, 4, ids))
    assert asked.any(dim=1).all()
    inputs, asked = Blanks(mask=4).put_in({"input_ids": ids, "labels": ids}, random)
    assert torch.equal(inputs["labels"], ids)
    assert asked.all()
    assert (inputs["input_ids"] == 4).any(dim=1).all()
    inputs, asked = Blanks(sentinels=(7, 8)).put_in({"input_ids": ids, "labels": ids}, random)
    first, token, second = inputs["labels"].unbind(1)
    assert (first == 7).all()
    assert (second == 8).all()
    assert asked.shape == (2, 3)
    assert torch.equal(torch.where(inputs["input_ids"] == 7, token[:, None], inputs["input_ids"]), ids)
    assert torch.equal((inputs["input_ids"] == 7).sum(dim=1), torch.ones(2, dtype=torch.int64))
    inputs, asked = Blanks().put_in({"input_ids": ids}, random)
    assert torch.equal(inputs["input_ids"], ids)
    assert asked.all()


def test_what_gets_no_gradient_is_left_as_it_is() -> None:
    """An indexer only selects tokens."""
    loaded = architecture("deepseek_v32 as decoder")
    texts = calls(loaded)
    recipe = "l1_unstructured:{0}:0.5+lora_recover:{0}:steps=3"
    pruned, recovered = (
        compress(loaded, each, calibration=texts).model
        for each in ("l1_unstructured:attention:0.5", recipe.format("attention"))
    )
    for matrix in parse_recipe("l1_unstructured:attention:0.5").steps[0].scope.select(weight_map(loaded.model)):
        one, other = (each.get_parameter(matrix.parameter) for each in (pruned, recovered))
        assert torch.equal(one, other) == (matrix.role.part == "indexer"), matrix.parameter
    with pytest.raises(UserError, match=r"attention.indexer:steps=3. changes nothing in"):
        compress(loaded, recipe.format("attention.indexer"), calibration=texts)

"""Installing compressed weights in a model and restoring the originals.

Covers ``compression.surgery.untying``.
"""

import pytest
import torch
from torch import nn

from forgetmeter.compression.applying.compressor import Compressor, compress
from forgetmeter.compression.forms.int8_weight import DynamicInt8Linear, quantize
from forgetmeter.compression.forms.weight import DenseWeight, Weight
from forgetmeter.compression.surgery.installation import install, installed
from forgetmeter.errors import UserError
from forgetmeter.models.roles.weight_map import weight_map
from forgetmeter.specs.recipe import parse_recipe


def snapshot(model):
    return {name: (id(value), value.detach().clone()) for name, value in model.state_dict(keep_vars=True).items()}


def assert_restored(model, before):
    after = model.state_dict(keep_vars=True)
    assert list(after) == list(before)
    for name, value in after.items():
        identity, content = before[name]
        assert id(value) == identity
        assert torch.equal(value, content)


def matrix_named(model, ending):
    return next(matrix for matrix in weight_map(model) if matrix.parameter.endswith(ending))


def weight_of(model, matrix):
    return DenseWeight(model.get_parameter(matrix.parameter).detach())


class HalvedWeight(Weight):
    """A form of weight unknown to the package."""

    def __init__(self, tensor):
        self._tensor = tensor.double() / 2

    def values(self):
        return self._tensor


def test_dense_weights_are_new_parameters_and_the_old_ones_return(make_loaded, logits):
    model = make_loaded().model
    matrix = matrix_named(model, "layers.0.mlp.up_proj.weight")
    before, said = snapshot(model), logits(model)
    new = torch.zeros(matrix.shape)
    undo = install(model, {matrix: DenseWeight(new)})
    parameter = model.get_parameter(matrix.parameter)
    assert isinstance(parameter, nn.Parameter)
    assert not parameter.requires_grad
    assert parameter.data_ptr() == new.data_ptr()
    assert not torch.equal(logits(model), said)
    undo()
    assert_restored(model, before)
    assert torch.equal(logits(model), said)


def test_int8_weights_replace_the_module(make_loaded):
    model = make_loaded().model
    matrix = matrix_named(model, "layers.1.self_attn.k_proj.weight")
    before, old = snapshot(model), model.get_submodule(matrix.module)
    with installed(model, {matrix: quantize(weight_of(model, matrix).values())}):
        new = model.get_submodule(matrix.module)
        assert isinstance(new, DynamicInt8Linear)
        assert not new.training
    assert model.get_submodule(matrix.module) is old
    assert_restored(model, before)


def test_unknown_forms_are_installed_as_values(make_loaded):
    model = make_loaded(dtype=torch.bfloat16).model
    matrix = matrix_named(model, "layers.1.self_attn.k_proj.weight")
    old = model.get_parameter(matrix.parameter).detach()
    with installed(model, {matrix: HalvedWeight(old)}):
        new = model.get_parameter(matrix.parameter)
        assert new.dtype == torch.bfloat16
        assert torch.equal(new, old / 2)


@pytest.mark.parametrize("form", [DenseWeight, quantize])
def test_a_tied_head_is_untied_while_it_is_installed(make_loaded, form):
    model = make_loaded(tied=True).model
    matrix = matrix_named(model, "lm_head.weight")
    embedding = model.model.embed_tokens.weight
    assert model.lm_head.weight is embedding
    before, content = snapshot(model), embedding.detach().clone()
    ties = dict(model.all_tied_weights_keys)
    with installed(model, {matrix: form(torch.ones(matrix.shape))}):
        assert model.model.embed_tokens.weight is embedding
        assert torch.equal(embedding, content)
        assert not torch.equal(model.lm_head.weight, embedding)
        assert model.config.tie_word_embeddings is False
        model.tie_weights()
        assert not torch.equal(model.lm_head.weight, embedding)
    assert model.lm_head.weight is embedding
    assert model.config.tie_word_embeddings is True
    assert model.all_tied_weights_keys == ties
    assert_restored(model, before)


@pytest.mark.parametrize("recipe", ["round_to_nearest:head:4+round_to_nearest:token_embedding:8",
                                    "round_to_nearest:token_embedding:8+round_to_nearest:head:4"])  # fmt: skip
def test_a_tied_head_and_its_embedding_each_keep_what_their_steps_made(make_loaded, recipe):
    tied, apart = (compress(make_loaded(tied=tied), recipe).model for tied in (True, False))
    assert tied.lm_head.weight is not tied.model.embed_tokens.weight
    for model in (tied, apart):
        levels = [len(rows.weight[5].unique()) for rows in (model.lm_head, model.model.embed_tokens)]
        assert levels[0] <= 16 < levels[1]
    assert torch.equal(tied.model.embed_tokens.weight, compress(make_loaded(tied=True),
                       "round_to_nearest:token_embedding:8").model.model.embed_tokens.weight)  # fmt: skip


def test_a_failure_midway_puts_everything_back(make_loaded):
    model = make_loaded(tied=True).model
    head = matrix_named(model, "lm_head.weight")
    query = matrix_named(model, "layers.0.self_attn.q_proj.weight")
    value = matrix_named(model, "layers.0.self_attn.v_proj.weight")
    before = snapshot(model)
    weights = {
        head: DenseWeight(torch.ones(head.shape)),
        query: quantize(weight_of(model, query).values()),
        value: DenseWeight(torch.ones(3, 3)),
    }
    with pytest.raises(ValueError, match=r"v_proj.weight has shape \(16, 32\), the new weights \(3, 3\)"):
        install(model, weights)
    assert_restored(model, before)
    assert model.config.tie_word_embeddings is True


def test_an_error_inside_the_block_puts_everything_back(make_loaded):
    model = make_loaded().model
    matrix = matrix_named(model, "layers.0.mlp.up_proj.weight")
    before = snapshot(model)
    with pytest.raises(KeyError), installed(model, {matrix: DenseWeight(torch.zeros(matrix.shape))}):
        raise KeyError
    assert_restored(model, before)


def test_int8_weights_replace_linear_layers_only(make_loaded):
    model = make_loaded().model
    matrix = matrix_named(model, "layers.0.mlp.up_proj.weight")
    model.model.layers[0].mlp.up_proj = nn.Identity()
    with pytest.raises(TypeError, match="Identity"):
        install(model, {matrix: quantize(torch.ones(matrix.shape))})


def share_parameters(model):
    """Blocks of their own with the same tensors, as in Zamba 2 and where a user ties weights."""
    first, *others = model.model.layers
    for other in others:
        for name, module in other.named_modules():
            if isinstance(module, nn.Linear):
                module.weight = first.get_submodule(name).weight


def share_modules(model):
    for block in model.model.layers[1:]:
        block.self_attn.q_proj = model.model.layers[0].self_attn.q_proj
        block.mlp = model.model.layers[0].mlp


@pytest.mark.parametrize("share", [share_parameters, share_modules])
@pytest.mark.parametrize("recipe", ["l1_unstructured:overall:0.5", "dynamic_int8:overall", "svd:overall:0.5"])
def test_every_layer_that_shares_a_weight_gets_the_new_one(make_loaded, logits, share, recipe):
    loaded, apart = make_loaded(), make_loaded()
    share(loaded.model)
    share(apart.model)
    before, said = snapshot(loaded.model), logits(loaded.model)
    compressor = Compressor(loaded)
    with compressor.applied(parse_recipe(recipe)) as compressed:
        found = logits(loaded.model)
        # The witness has the values that the weights stand for, in tensors that it shares.
        for matrix, weight in compressed.weights.items():
            with torch.no_grad():
                apart.model.get_parameter(matrix.parameter).copy_(weight.values())
    assert not torch.equal(found, said)
    is_int8 = recipe.startswith("dynamic")
    assert torch.allclose(found, logits(apart.model), atol=0.05 if is_int8 else 1e-5)
    if is_int8:
        assert not torch.allclose(found, said, atol=1e-5)
    assert_restored(loaded.model, before)
    assert torch.equal(logits(loaded.model), said)


def test_a_block_whose_weights_others_use_is_not_dropped(make_loaded):
    loaded = make_loaded()
    first, second = loaded.model.model.layers[:2]
    second.mlp.up_proj.weight = first.mlp.up_proj.weight
    says = r"drop_layers cannot drop the block that holds model\.layers\.0\.mlp\.up_proj\.weight, because"
    with pytest.raises(UserError, match=says):
        compress(loaded, "drop_layers:layers[0-0]/overall:1")

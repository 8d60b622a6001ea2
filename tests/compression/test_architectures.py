"""Compression of every architecture, against torch's own pruning and quantization.

Covers ``compression.applying.compressor``, ``compression.surgery.installation`` and ``compression.surgery.untying``.
"""

from __future__ import annotations

import copy
import warnings
from functools import cache

import pytest
import torch
from models.architectures import ARCHITECTURES, logits_of, make_architecture
from torch import nn
from torch.ao.quantization import default_dynamic_qconfig, quantize_dynamic
from torch.nn.utils import prune

from forgetmeter.compression.applying.compressor import Compressor, compress
from forgetmeter.compression.forms.int8_weight import Int8Weight, kernel_available
from forgetmeter.compression.forms.weight import DenseWeight
from forgetmeter.compression.surgery.installation import installed
from forgetmeter.models.loaded import Loaded
from forgetmeter.models.roles.weight_map import weight_map
from forgetmeter.specs.recipe import parse_recipe
from forgetmeter.specs.scope import parse_scope

each_architecture = pytest.mark.parametrize("name", ARCHITECTURES)
with_kernel = pytest.mark.skipif(not kernel_available(torch.device("cpu")), reason="this torch has no int8 kernels")

EXPERTS = ("mixtral", "qwen2_moe", "qwen3_moe")
SCOPES = ("attention", "attention.query", "feed_forward", "overall", "paper/overall")


@cache
def loaded(name: str) -> Loaded:
    """The model, shared by all tests: some of them check that recipes leave it unchanged."""
    return Loaded(model=make_architecture(name), tokenizer=None, family="decoder", name=name)  # type: ignore[arg-type]


@cache
def compressor_of(name: str) -> Compressor:
    return Compressor(loaded(name))


def contents(model: nn.Module) -> dict[str, torch.Tensor]:
    return {name: value.detach().clone() for name, value in model.state_dict().items()}


def slices(name: str, scope: str) -> dict[str, torch.Tensor]:
    """Return the selected weights as separate matrices, assembled from single rows or columns."""
    found = {}
    for matrix in parse_scope(scope).select(weight_map(loaded(name).model)):
        tensor = loaded(name).model.get_parameter(matrix.parameter).detach()
        if matrix.axis is not None:
            index = torch.cat([torch.arange(start, stop) for start, stop in matrix.ranges])
            tensor = tensor.index_select(matrix.axis, index)
        found[f"{matrix.parameter} {matrix.role}"] = tensor.clone()
    return found


def pruned_by_torch(tensors: dict[str, torch.Tensor], level: float) -> dict[str, torch.Tensor]:
    modules = {}
    for key, tensor in tensors.items():
        modules[key] = nn.Module()
        modules[key].weight = nn.Parameter(tensor)
    prune.global_unstructured(
        [(module, "weight") for module in modules.values()], pruning_method=prune.L1Unstructured, amount=level
    )
    return {key: module.weight.detach() for key, module in modules.items()}


@each_architecture
@pytest.mark.parametrize("scope", SCOPES)
def test_pruning_matches_torch_on_unfused_matrices(name: str, scope: str) -> None:
    model, before = loaded(name).model, contents(loaded(name).model)
    expected = pruned_by_torch(slices(name, scope), 0.4)
    with compressor_of(name).applied(parse_recipe(f"l1_unstructured:{scope}:0.4")) as compressed:
        after = slices(name, scope)
        assert after.keys() == expected.keys()
        assert all(torch.equal(after[key], values) for key, values in expected.items())
        size = sum(values.numel() for values in expected.values())
        assert compressed.reached.selected_weights == size
        assert compressed.reached.selected_zeros == round(0.4 * size)
        selected = {matrix.parameter for matrix in compressed.weights}
        # Whatever was not selected is unchanged: a fused parameter has no zeros but those of the selected parts.
        lost = sum(int((model.get_parameter(parameter) == 0).sum()) for parameter in selected)
        assert lost == round(0.4 * size)
        changed = {key for key, value in model.state_dict().items() if not torch.equal(value, before[key])}
        assert changed == selected


@each_architecture
def test_the_model_is_restored_bit_for_bit(name: str) -> None:
    model = loaded(name).model
    before, said = contents(model), logits_of(model)
    identities = {key: id(value) for key, value in model.state_dict(keep_vars=True).items()}
    settings, ties = model.config.to_dict(), dict(model.all_tied_weights_keys)
    own = "_tied_weights_keys" in vars(model)
    texts = ["l1_unstructured:overall:0.5", "l1_unstructured:attention.key:0.3+dynamic_int8:attention"]
    texts += ["dynamic_int8:attention.query", "dynamic_int8:attention.value+l1_unstructured:overall:0.3"]
    texts += [] if name == "deberta_v2_own_positions" else ["l1_unstructured:head:0.5", "dynamic_int8:head"]
    for text in texts:
        with compressor_of(name).applied(parse_recipe(text)):
            assert not torch.equal(logits_of(model), said)
        assert torch.equal(logits_of(model), said)
        after = model.state_dict(keep_vars=True)
        assert list(after) == list(before)
        assert all(torch.equal(after[key], value) for key, value in before.items())
        assert {key: id(value) for key, value in after.items()} == identities
        assert (model.config.to_dict(), dict(model.all_tied_weights_keys)) == (settings, ties)
        assert ("_tied_weights_keys" in vars(model)) == own


@pytest.mark.parametrize("name", [name for name in ARCHITECTURES if name != "deberta_v2_own_positions"])
def test_untying_the_head_does_not_change_the_logits(name: str) -> None:
    """T5's configuration also decides whether the decoder's output is scaled; untying must not change that."""
    model = loaded(name).model
    said = logits_of(model)
    embedding = model.get_input_embeddings().weight.detach().clone()
    (head,) = (matrix for matrix in weight_map(model) if matrix.role.component == "head")
    with installed(model, {head: DenseWeight(model.get_parameter(head.parameter).detach().clone())}):
        assert model.get_output_embeddings().weight is not model.get_input_embeddings().weight
        assert torch.equal(logits_of(model), said)
        model.tie_weights()
        assert model.get_output_embeddings().weight is not model.get_input_embeddings().weight
    with compressor_of(name).applied(parse_recipe("l1_unstructured:head:0.9")):
        assert not torch.equal(logits_of(model), said)
        assert torch.equal(model.get_input_embeddings().weight, embedding)


@pytest.mark.parametrize("name", [name for name in ARCHITECTURES if name != "deberta_v2_own_positions"])
def test_a_compressed_head_survives_saving(name: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("saved")
    embedding = loaded(name).model.get_input_embeddings().weight
    other = compress(loaded(name), "l1_unstructured:head:0.5+l1_unstructured:overall:0.3").model
    other.save_pretrained(folder)
    reloaded = type(other).from_pretrained(folder).eval()
    assert torch.equal(logits_of(reloaded), logits_of(other))
    assert torch.equal(reloaded.get_input_embeddings().weight, embedding)
    assert int((reloaded.get_output_embeddings().weight == 0).sum()) == round(0.5 * embedding.numel())


def torch_quantized(model: nn.Module, names: set[str]) -> nn.Module:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return quantize_dynamic(copy.deepcopy(model), dict.fromkeys(names, default_dynamic_qconfig))


def with_plain_linear_layers(model: nn.Module) -> nn.Module:
    """Return a copy whose linear layers all have the class that torch quantizes."""
    twin = copy.deepcopy(model)
    for path, module in list(twin.named_modules()):
        is_odd = isinstance(module, nn.Linear) and type(module) is not nn.Linear
        if is_odd or type(module).__name__ == "Conv1D":
            weight = module.weight if isinstance(module, nn.Linear) else module.weight.t().contiguous()
            plain = nn.Linear(weight.shape[1], weight.shape[0], bias=module.bias is not None)
            plain.load_state_dict({"weight": weight} | ({} if module.bias is None else {"bias": module.bias}))
            parent, _, last = path.rpartition(".")
            setattr(twin.get_submodule(parent), last, plain)
    return twin


@with_kernel
@pytest.mark.parametrize(
    ("name", "scope"),
    [
        (name, scope)
        for name in ARCHITECTURES
        for scope in ("attention", "overall", "paper/overall")
        if name not in EXPERTS or scope == "attention"
    ],
)
def test_int8_matches_torch(name: str, scope: str) -> None:
    model = loaded(name).model
    names = {matrix.module for matrix in parse_scope(scope).select(weight_map(model))}
    assert len(names) >= 2
    reference = torch_quantized(with_plain_linear_layers(model), names)
    with compressor_of(name).applied(parse_recipe(f"dynamic_int8:{scope}")) as compressed:
        assert torch.equal(logits_of(model), logits_of(reference))
        saved = sum(model.get_submodule(path).weight.numel() for path in names)
        assert compressed.reached.quantized_bytes == compressed.reached.dense_bytes - 3 * saved + 4 * len(names)


@with_kernel
@pytest.mark.parametrize("part", ["query", "value"])
@pytest.mark.parametrize("name", ["bloom", "falcon_grouped", "gpt2", "gpt_neox", "modernbert", "phi3"])
def test_int8_of_some_output_units_matches_torch_on_them(name: str, part: str) -> None:
    model = loaded(name).model
    matrix = next(matrix for matrix in weight_map(model) if matrix.role.part == part and matrix.layer == 0)
    module = model.get_submodule(matrix.module)
    index = torch.cat([torch.arange(start, stop) for start, stop in matrix.ranges])
    weight = (module.weight.t() if matrix.axis == 1 else module.weight).detach()
    rows = nn.Sequential(nn.Linear(weight.shape[1], len(index), bias=module.bias is not None))
    rows.load_state_dict({"0.weight": weight[index]} | ({} if module.bias is None else {"0.bias": module.bias[index]}))
    inputs = torch.randn(2, 5, weight.shape[1], generator=torch.Generator().manual_seed(1))
    others = torch.ones(weight.shape[0], dtype=torch.bool)
    others[index] = False
    with compressor_of(name).applied(parse_recipe(f"dynamic_int8:layers[0]/attention.{part}")) as compressed:
        outputs = model.get_submodule(matrix.module)(inputs)
    assert torch.equal(outputs[..., index], torch_quantized(rows, {"0"})(inputs))
    torch.testing.assert_close(outputs[..., others], module(inputs)[..., others])
    saved = 3 * matrix.size - 4
    assert compressed.reached.quantized_bytes == compressed.reached.dense_bytes - saved


def test_quantized_parts_keep_their_own_scales() -> None:
    """Queries have their own scale; pruning all of attention leaves each scale unchanged."""
    compressor = compressor_of("gpt2")
    whole = compressor.compressed(parse_recipe("dynamic_int8:attention+l1_unstructured:attention:0.3"))
    assert whole.reached.quantized_bytes == whole.reached.dense_bytes - 2 * (4 * 32 * 32 * 3 - 2 * 4)
    parts = ("query", "key", "value", "output")
    recipe = "+".join(f"dynamic_int8:attention.{part}" for part in parts) + "+l1_unstructured:attention:0.3"
    apart = compressor.compressed(parse_recipe(recipe))
    assert apart.reached.quantized_bytes == apart.reached.dense_bytes - 2 * (4 * 32 * 32 * 3 - 4 * 4)
    assert len({float(weight.factors) for weight in apart.weights.values() if isinstance(weight, Int8Weight)}) == 2 * 4


@with_kernel
@pytest.mark.parametrize("name", EXPERTS)
@pytest.mark.parametrize("pruning", ["", "l1_unstructured:overall:0.5+"])
def test_each_expert_has_its_own_scale(name: str, pruning: str) -> None:
    """``tests/compression/surgery/test_expert_layers.py`` compares experts with torch's linear layers."""
    selected = parse_scope("overall").select(weight_map(loaded(name).model))
    tensors = {each.parameter: each.shape[0] if len(each.shape) == 3 else 1 for each in selected}
    found = compressor_of(name).compressed(parse_recipe(f"{pruning}dynamic_int8:overall")).reached
    saved = 3 * sum(each.size for each in selected)
    assert found.quantized_bytes == found.dense_bytes - saved + 4 * sum(tensors.values())
    assert not found.simulated

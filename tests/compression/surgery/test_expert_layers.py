"""Experts quantized one by one, against torch's quantize_dynamic of a linear layer with the expert's rows."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable

import pytest
import torch
from models.architectures import logits_of, make_architecture
from scoring.batch_invariance.configurations import CONFIGURATIONS
from torch import Tensor, nn
from torch.ao.quantization import default_dynamic_qconfig, per_channel_dynamic_qconfig, quantize_dynamic
from transformers import PreTrainedModel

from forgetmeter.compression.applying.compressor import compress
from forgetmeter.compression.forms.int8_weight import kernel_available
from forgetmeter.models.loaded import Loaded
from forgetmeter.models.roles.weight_map import weight_map

MIXTURES = ("mixtral", "qwen2_moe", "qwen3_moe")
Linear = Callable[[Tensor], Tensor]

pytestmark = pytest.mark.skipif(
    not kernel_available(torch.device("cpu")), reason="this torch has no int8 kernels to compare with"
)


def loaded(name: str = "mixtral") -> Loaded:
    # Compression never looks at the tokenizer.
    return Loaded(model=make_architecture(name), tokenizer=None, family="decoder", name="tiny")


def torch_linear(rows: Tensor, qconfig: object = default_dynamic_qconfig) -> Linear:
    """Return what torch makes of a linear layer with these rows."""
    linear = nn.Linear(rows.shape[1], rows.shape[0], bias=False)
    linear.weight = nn.Parameter(rows.clone())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return quantize_dynamic(nn.Sequential(linear), {"0": qconfig})


def with_experts(model: PreTrainedModel, ups: Callable[[Tensor], Linear], downs: Callable[[Tensor], Linear]) -> None:
    """Replace the forward of each module of experts by a loop over linear layers made from each expert's rows."""

    def replace(experts: nn.Module) -> None:
        up, down = list(map(ups, experts.gate_up_proj.detach())), list(map(downs, experts.down_proj.detach()))

        def forward(states: Tensor, chosen: Tensor, shares: Tensor) -> Tensor:
            whole = torch.zeros_like(states)
            for expert in range(len(up)):
                token, rank = torch.where(chosen == expert)
                if len(token):
                    gate, value = up[expert](states[token]).chunk(2, dim=-1)
                    out = down[expert](experts.act_fn(gate) * value) * shares[token, rank, None]
                    whole.index_add_(0, token, out)
            return whole

        experts.forward = forward

    for module in list(model.modules()):
        if hasattr(module, "gate_up_proj") and isinstance(module.gate_up_proj, nn.Parameter):
            replace(module)


@pytest.mark.parametrize("name", MIXTURES)
@pytest.mark.parametrize("granularity", ["per_tensor", "per_channel"])
def test_each_expert_is_what_torch_makes_of_a_linear_layer(name: str, granularity: str) -> None:
    qconfig = default_dynamic_qconfig if granularity == "per_tensor" else per_channel_dynamic_qconfig
    original = loaded(name)
    scope = "regex(mlp.experts)"
    ours = compress(original, f"dynamic_int8:{scope}:granularity={granularity}").model
    reference = copy.deepcopy(original.model)
    with_experts(reference, lambda rows: torch_linear(rows, qconfig), lambda rows: torch_linear(rows, qconfig))
    assert torch.equal(logits_of(ours), logits_of(reference))
    assert not torch.allclose(logits_of(ours), logits_of(original.model), rtol=0, atol=1e-5)


def test_one_experts_weights_are_torchs() -> None:
    original = loaded()
    compressed = compress(original, "dynamic_int8:feed_forward").model
    for layer, old in zip(compressed.model.layers, original.model.model.layers, strict=True):
        for name in ("gate_up_proj", "down_proj"):
            for number, rows in enumerate(getattr(old.mlp.experts, name)):
                theirs = torch_linear(rows.detach())[0].weight()
                ours = getattr(layer.mlp.experts, name).layers[number]
                assert torch.equal(ours.weight, theirs.int_repr())
                assert ours.factors.item() == theirs.q_scale()
                assert not ours.simulated


@pytest.mark.parametrize("name", ["gpt_oss as decoder", "llama4_text as decoder", "aria_text as decoder"])
def test_transposed_experts_compute_what_torchs_linear_layers_do(name: str) -> None:
    """Such as ``inputs @ tensor[expert]``, or ``bmm(inputs, tensor)`` for all experts."""
    model = CONFIGURATIONS[name].model().eval()
    original = Loaded(model=model, tokenizer=None, family="decoder", name="tiny")
    compressed = compress(original, "dynamic_int8:feed_forward").model
    names = {each.parameter for each in weight_map(model) if each.form == "transposed"}
    assert len(names) >= 2
    for parameter in names:
        path, _, last = parameter.rpartition(".")
        ours, old = getattr(compressed.get_submodule(path), last), model.get_parameter(parameter).detach()
        inputs = torch.randn(len(old), 5, old.shape[1], generator=torch.Generator().manual_seed(1))
        expected = [torch_linear(rows.t())(each) for rows, each in zip(old, inputs, strict=True)]
        assert torch.equal(torch.bmm(inputs, ours), torch.stack(expected))
        assert all(torch.equal(each @ ours[number], expected[number]) for number, each in enumerate(inputs))
    tokens = torch.randint(5, 100, (2, 9), generator=torch.Generator().manual_seed(2))
    with torch.inference_mode():
        assert not torch.equal(compressed(tokens).logits, model(tokens).logits)


def test_a_part_is_quantized_by_its_own_scale_and_the_rest_stays() -> None:
    original = loaded()

    def half(rows: Tensor) -> Linear:
        gate, up = rows.chunk(2)
        quantized = torch_linear(gate)
        return lambda inputs: torch.cat([quantized(inputs), nn.functional.linear(inputs, up)], dim=-1)

    def whole(rows: Tensor) -> Linear:
        return lambda inputs: nn.functional.linear(inputs, rows)

    reference = copy.deepcopy(original.model)
    with_experts(reference, half, whole)
    ours = compress(original, "dynamic_int8:feed_forward.gate").model
    # Products with the dense rows alone are rounded differently.
    torch.testing.assert_close(logits_of(ours), logits_of(reference), rtol=0, atol=1e-6)


def test_rounded_and_pruned_parts_stand_beside_quantized_ones() -> None:
    original = loaded()
    recipe = "round_to_nearest:feed_forward.up:4+dynamic_int8:feed_forward.gate+l1_unstructured:feed_forward:0.5"
    compressed = compress(original, recipe)
    assert torch.isfinite(logits_of(compressed.model)).all()
    layer = compressed.model.model.layers[0].mlp.experts.gate_up_proj.layers[0]
    gate = next(part for part in layer.parts if part.weight.dtype == torch.int8)
    assert (gate.weight == 0).sum() > (quantized_zeros(original))


def quantized_zeros(original: Loaded) -> int:
    rows = original.model.model.layers[0].mlp.experts.gate_up_proj[0].detach().chunk(2)[0]
    return int((torch_linear(rows)[0].weight().int_repr() == 0).sum())


def test_everything_is_restored() -> None:
    original = loaded()
    model = original.model
    before = {name: value.clone() for name, value in model.state_dict().items()}
    modules, expected = dict(model.named_modules()), logits_of(model)
    weights = compress(original, "dynamic_int8:overall")
    assert list(model.state_dict()) == list(before)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert dict(model.named_modules()) == modules
    assert torch.equal(logits_of(model), expected)
    assert not torch.equal(logits_of(weights.model), expected)
    assert torch.equal(logits_of(copy.deepcopy(weights.model)), logits_of(weights.model))


def test_an_expert_is_only_multiplied_with_inputs() -> None:
    compressed = compress(loaded(), "dynamic_int8:feed_forward").model
    expert = compressed.model.layers[0].mlp.experts.down_proj[torch.tensor(1)]
    with pytest.raises(TypeError, match="passes expert weights to add, but .* can only be multiplied by inputs"):
        torch.add(torch.ones(2, 4), expert)
    inputs = torch.ones(2, compressed.model.layers[0].mlp.experts.intermediate_dim)
    bias = torch.ones(compressed.config.hidden_size)
    assert torch.equal(nn.functional.linear(inputs, expert, bias), nn.functional.linear(inputs, expert) + 1)

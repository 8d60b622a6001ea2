"""torchao's methods, against torchao on the whole model and explicit arithmetic.

Covers ``compression.methods.torchao_method``, ``compression.methods.int8_dynamic_torchao``,
``compression.methods.int4_weight_only_torchao`` and ``compression.forms.torchao_weight``.
"""

from __future__ import annotations

import copy

import pytest
import torch
from models.architectures import logits_of, make_architecture
from torch import Tensor, nn
from transformers import LlamaConfig, LlamaForCausalLM

from forgetmeter.compression.applying.compressor import Compressor, compress
from forgetmeter.compression.forms.torchao_weight import TorchaoWeight
from forgetmeter.compression.methods import torchao_method
from forgetmeter.models.loaded import Loaded
from forgetmeter.specs.recipe import parse_recipe

METHODS = ("int8_dynamic_torchao", "int4_weight_only_torchao")


def loaded(name: str = "llama", dtype: torch.dtype = torch.float32) -> Loaded:
    return Loaded(make_architecture(name).to(dtype), tokenizer=None, family="decoder", name=name)  # type: ignore[arg-type]


def test_without_torchao_the_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torchao_method, "find_spec", lambda _name: None)
    problems = Compressor(loaded()).check(parse_recipe("int8_dynamic_torchao:attention"))
    assert problems == ["int8_dynamic_torchao needs the package torchao: pip install 'forgetmeter[torchao]'"]


def config_of(method: str, **options: int) -> object:
    pytest.importorskip("torchao")
    if method == "int8_dynamic_torchao":
        from torchao.quantization import Int8DynamicActivationInt8WeightConfig

        return Int8DynamicActivationInt8WeightConfig()
    from torchao.prototype.quantization.int4 import PrototypeInt4WeightOnlyConfig

    return PrototypeInt4WeightOnlyConfig(**options)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("method", METHODS)
def test_logits_are_those_of_torchaos_quantize(method: str, dtype: torch.dtype) -> None:
    config = config_of(method, group_size=32)
    from torchao.quantization import quantize_

    model = loaded(dtype=dtype)
    reference = copy.deepcopy(model.model)
    quantize_(reference, config, filter_fn=lambda module, path: isinstance(module, nn.Linear) and "self_attn" in path)
    said = logits_of(model.model)
    with Compressor(model).applied(parse_recipe(f"{method}:attention")) as result:
        assert torch.equal(logits_of(model.model), logits_of(reference))
        assert not torch.equal(logits_of(model.model), said)
        assert not result.reached.simulated
    assert torch.equal(logits_of(model.model), said)


def test_int8_matches_explicit_arithmetic() -> None:
    pytest.importorskip("torchao")
    model = loaded()
    layer = model.model.model.layers[0].mlp.up_proj
    inputs = torch.randn(5, 32, generator=torch.Generator().manual_seed(0))
    weight = layer.weight.detach()
    with Compressor(model).applied(parse_recipe("int8_dynamic_torchao:feed_forward")) as result:
        outputs = model.model.model.layers[0].mlp.up_proj(inputs)
        assert result.reached.quantized_bytes < result.reached.dense_bytes

    def rounded(row: Tensor) -> Tensor:
        scale = row.abs().max() / 127.5
        return (row / scale).round().clamp(-128, 127) * scale

    by_hand = torch.stack([rounded(row) for row in inputs]) @ torch.stack([rounded(row) for row in weight]).t()
    torch.testing.assert_close(outputs, by_hand, rtol=1e-2, atol=2e-2)


@pytest.mark.parametrize("method", METHODS)
def test_pruning_afterwards_zeroes_exactly_what_it_reports(method: str) -> None:
    """8-bit weights stay torchao's; packed 4-bit ones cannot represent 0, so they become plain."""
    pytest.importorskip("torchao")
    model = loaded()
    with Compressor(model).applied(parse_recipe(f"{method}:attention+l1_unstructured:attention:0.5")) as result:
        assert result.reached.selected_zeros == pytest.approx(0.5 * result.reached.selected_weights, abs=40)
        for weight in result.weights.values():
            assert isinstance(weight, TorchaoWeight) == (method == "int8_dynamic_torchao")
        for matrix, weight in result.weights.items():
            layer = model.model.get_submodule(matrix.module)
            spoken = layer(torch.eye(matrix.shape[1])).t()
            torch.testing.assert_close(spoken, weight.values(), rtol=0.02, atol=1e-3)


def test_values_of_packed_weights_are_within_a_step() -> None:
    pytest.importorskip("torchao")
    model = loaded()
    result = Compressor(model).compressed(parse_recipe("int4_weight_only_torchao:attention"))
    for matrix, weight in result.weights.items():
        before = model.model.get_parameter(matrix.parameter).detach()
        step = (before.amax(1) - before.amin(1)) / 15
        assert bool(((weight.values() - before).abs() <= 0.51 * step[:, None]).all())
        assert all(len(row.unique()) <= 16 for row in weight.values())
    saved = sum(matrix.size * 4 - matrix.size // 2 - matrix.size // 32 * 8 for matrix in result.weights)
    assert result.reached.dense_bytes - result.reached.quantized_bytes == saved


def test_a_copy_can_be_copied() -> None:
    pytest.importorskip("torchao")
    once = compress(loaded(), "int8_dynamic_torchao:overall")
    assert torch.equal(logits_of(compress(once, "baseline").model), logits_of(once.model))


@pytest.mark.parametrize(
    ("name", "recipe", "says"),
    [
        (
            "phi3",
            "int8_dynamic_torchao:attention.query",
            "quantizes whole layers, and the scope selects only part of model.la",
        ),
        ("gpt2", "int8_dynamic_torchao:attention", "supports linear layers only"),
        (
            "mixtral",
            "int8_dynamic_torchao:feed_forward",
            "int8_dynamic_torchao supports linear layers only, and model.layers.0.mlp.experts.gate_up_proj (the first "
            "of 4 such weights) holds all experts of a block in one tensor; choose a scope without them",
        ),
        ("llama", "int4_weight_only_torchao:attention:group_size=64", "has 32 and 32; choose another group_size"),
        ("llama", "int8_dynamic_torchao:attention+dynamic_int8:attention", "can only be pruned"),
    ],
)
def test_impossible_requests_are_refused_up_front(name: str, recipe: str, says: str) -> None:
    pytest.importorskip("torchao")
    problems = Compressor(loaded(name)).check(parse_recipe(recipe))
    assert says in "".join(problems)


def test_output_sizes_the_kernel_does_not_support_are_refused() -> None:
    pytest.importorskip("torchao")
    config = LlamaConfig(vocab_size=61, hidden_size=32, intermediate_size=40, num_hidden_layers=1)
    odd = Loaded(LlamaForCausalLM(config), tokenizer=None, family="decoder", name="odd")  # type: ignore[arg-type]
    (problem,) = Compressor(odd).check(parse_recipe("int4_weight_only_torchao:feed_forward.up"))
    assert "output units in multiples of 16" in problem

"""SmoothQuant on one layer, against its definition written as loops, and in models.

Covers ``compression.forms.input_scaled_weight``.
"""

from __future__ import annotations

import pytest
import torch
from models.architectures import logits_of, make_architecture
from torch import Tensor

from forgetmeter.compression.applying.compressor import Compressor, compress
from forgetmeter.compression.calibrated.input_moments import InputMoments
from forgetmeter.compression.forms.input_scaled_weight import InputDivision, InputScaledWeight
from forgetmeter.compression.forms.int8_weight import DynamicInt8Linear, quantize
from forgetmeter.compression.forms.rounded_weight import RoundedWeight
from forgetmeter.compression.methods import smoothquant
from forgetmeter.errors import UserError
from forgetmeter.models.loaded import Loaded
from forgetmeter.specs.recipe import parse_recipe


def moments_of(inputs: Tensor) -> InputMoments:
    moments = InputMoments(inputs.shape[-1], torch.device("cpu"), has_products=False)
    moments.add(inputs)
    return moments


def layer(seed: int = 0) -> tuple[Tensor, Tensor]:
    """Return weights, and inputs with an outlier unit."""
    random = torch.Generator().manual_seed(seed)
    weight, inputs = torch.randn(12, 16, generator=random) / 4, torch.randn(50, 16, generator=random)
    inputs[:, 5] *= 60
    return weight, inputs


def model_of(name: str) -> Loaded:
    return Loaded(make_architecture(name), tokenizer=None, family="decoder", name=name)  # type: ignore[arg-type]


def call(*, rows: int = 4) -> dict[str, Tensor]:
    return {"input_ids": torch.randint(3, 60, (rows, 9), generator=torch.Generator().manual_seed(0))}


@pytest.mark.parametrize("granularity", ["per_tensor", "per_channel"])
@pytest.mark.parametrize("alpha", [0.0, 0.25, 0.5, 1.0])
def test_scales_are_those_of_the_definition(alpha: float, granularity: str) -> None:
    """For a norm and one layer, the code that the authors published computes the same (docs/decisions/043)."""
    weight, inputs = layer()
    expected = [
        max(abs(x) for x in inputs[:, unit].tolist()) ** alpha
        / max(abs(w) for w in weight[:, unit].tolist()) ** (1 - alpha)
        for unit in range(16)
    ]
    found = smoothquant.compress(weight, moments_of(inputs), None, {"alpha": alpha, "granularity": granularity})
    torch.testing.assert_close(found.input_scales, torch.tensor([expected]))
    assert torch.equal(found.scaled.integers, quantize(weight * found.input_scales, granularity).integers)
    assert (found.bits(), found.scales()) == (8, 16 + (1 if granularity == "per_tensor" else 12))


def test_outliers_cost_less_than_without_scales() -> None:
    weight, inputs = layer()
    smooth = smoothquant.compress(weight, moments_of(inputs), None, {"alpha": 0.5, "granularity": "per_tensor"})
    exact = inputs @ weight.t()
    plain = (quantize(weight).layer(None, is_conv1d=False)(inputs) - exact).square().mean()
    found = (smooth.layer(None, is_conv1d=False)(inputs) - exact).square().mean()
    assert found < plain / 4


@pytest.mark.parametrize("inputs", [torch.zeros(0, 16), torch.zeros(3, 16)])
def test_a_layer_without_inputs_is_quantized_unscaled(inputs: Tensor) -> None:
    weight, _ = layer()
    found = smoothquant.compress(weight, moments_of(inputs), None, {"alpha": 0.5, "granularity": "per_tensor"})
    assert torch.equal(found.values(), quantize(weight).values())


def test_units_without_inputs_or_weights_have_finite_scales() -> None:
    """Other texts may use them."""
    weight, inputs = layer()
    inputs[:, 2], weight[:, 3] = 0, 0
    found = smoothquant.compress(weight, moments_of(inputs), None, {"alpha": 0.5, "granularity": "per_tensor"})
    assert found.input_scales[0, 2] == 1
    assert bool(found.input_scales.isfinite().all())
    assert not found.values()[:, 3].any()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("name", ["llama", "gpt2", "gpt_neox"])
def test_layers_divide_their_inputs_and_round_them(name: str, dtype: torch.dtype) -> None:
    loaded = model_of(name)
    loaded.model.to(dtype)
    found = compress(loaded, "smoothquant:feed_forward", calibration=[call()]).model
    layers = [each for each in found.modules() if isinstance(each, InputDivision)]
    assert len(layers) == sum(isinstance(each, DynamicInt8Linear) for each in found.modules()) > 2
    for each in layers:
        inputs = torch.randn(2, 3, each.in_features).to(dtype)
        assert torch.equal(each(inputs), each.layer(inputs.float() / each.input_scales).to(dtype))
        assert each(inputs).shape == (2, 3, each.out_features)
        assert each.weight is each.layer.weight
    assert not torch.equal(logits_of(found), logits_of(loaded.model))
    torch.testing.assert_close(logits_of(found), logits_of(loaded.model), rtol=0.1, atol=0.1)


@pytest.mark.parametrize("later", ["l1_unstructured:attention.query:0.5", "wanda:attention.query:0.5"])
@pytest.mark.parametrize("name", ["llama", "gpt2", "gpt_neox"])
def test_pruned_afterwards_even_in_part(name: str, later: str) -> None:
    compressor = Compressor(model_of(name), calibration=[call()])
    before = compressor.compressed(parse_recipe("smoothquant:attention")).weights
    both = compressor.compressed(parse_recipe(f"smoothquant:attention+{later}"))
    for matrix, weight in both.weights.items():
        assert isinstance(weight.standalone(), InputScaledWeight)
        old, new = before[matrix].values(), weight.values()
        assert bool(((new == old) | (new == 0)).all())
        assert bool((new != old).any()) == (matrix.role.part == "query")


@pytest.mark.parametrize("name", ["llama", "gpt2", "gpt_neox"])
def test_one_part_of_attention(name: str) -> None:
    loaded = model_of(name)
    found = compress(loaded, "smoothquant:attention.query", calibration=[call()]).model
    assert sum(isinstance(each, InputDivision) for each in found.modules()) == loaded.model.config.num_hidden_layers
    torch.testing.assert_close(logits_of(found), logits_of(loaded.model), rtol=0.05, atol=0.05)


def test_an_alpha_above_1_is_refused() -> None:
    with pytest.raises(UserError, match="alpha=1.5 is not a share; choose a number from 0 to 1"):
        compress(model_of("llama"), "smoothquant:overall:alpha=1.5", calibration=[call()])


def test_parts_of_a_weight_share_its_input_scales() -> None:
    random = torch.Generator().manual_seed(0)
    integers = torch.randint(-8, 8, (6, 8), dtype=torch.int8, generator=random)
    rounded = RoundedWeight(integers, torch.rand(6, 2, generator=random) + 1, input_axis=-1, bit_width=4)
    weight = InputScaledWeight(rounded, torch.rand(1, 8, generator=random) + 1)
    assert weight.is_simulated
    assert not weight.has_layer
    pieces = [((0, 2), (5, 6)), ((2, 5),)]
    upper, lower = (weight.part(0, ranges) for ranges in pieces)
    assert upper.can_join(lower)
    assert (weight.scales(), upper.scales(), lower.scales()) == (12 + 8, 6 + 8, 6 + 8)
    whole = upper.join(0, list(zip(pieces, (upper, lower), strict=True)))
    assert torch.equal(whole.values(), weight.values())
    assert torch.equal(weight.values(), rounded.values() / weight.input_scales)
    turned = weight.transposed()
    assert torch.equal(turned.values(), weight.values().t())
    assert torch.equal(turned.part(1, pieces[1]).values(), lower.values().t())
    keep = integers > 2
    assert torch.equal(weight.masked(keep).values(), weight.values() * keep)
    other = InputScaledWeight(rounded, weight.input_scales + 1)
    assert not any((upper.can_join(other), upper.can_join(rounded), rounded.can_join(upper)))

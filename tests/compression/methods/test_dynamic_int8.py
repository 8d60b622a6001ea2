"""Dynamic quantization, against torch.ao.quantization.quantize_dynamic.

Covers ``compression.forms.int8_weight``.
"""

import copy
import warnings

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.ao.quantization import default_dynamic_qconfig, per_channel_dynamic_qconfig, quantize_dynamic

from forgetmeter.compression.applying.compressor import compress
from forgetmeter.compression.forms.int8_weight import (
    GRANULARITIES,
    DynamicInt8Linear,
    Int8Weight,
    kernel_available,
    quantize,
)
from forgetmeter.compression.forms.unusable_weight import UnusableWeightError
from forgetmeter.compression.forms.weight import DenseWeight
from forgetmeter.compression.methods.dynamic_int8 import METHOD
from forgetmeter.models.roles.weight_map import weight_map
from forgetmeter.specs.scope import parse_scope

pytestmark = pytest.mark.skipif(
    not kernel_available(torch.device("cpu")), reason="this torch has no int8 kernels to compare with"
)


def torch_quantized(model, names, qconfig=default_dynamic_qconfig):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return quantize_dynamic(copy.deepcopy(model), dict.fromkeys(names, qconfig))


@pytest.mark.parametrize("scope", ["attention", "feed_forward", "overall", "head"])
def test_logits_match_quantize_dynamic(make_loaded, logits, scope):
    loaded = make_loaded()
    selected = parse_scope(scope).select(weight_map(loaded.model))
    reference = torch_quantized(loaded.model, {matrix.module for matrix in selected})
    ours = compress(loaded, f"dynamic_int8:{scope}").model
    assert torch.equal(logits(ours), logits(reference))
    assert not torch.equal(logits(ours), logits(loaded.model))
    for matrix in selected:
        theirs = reference.get_submodule(matrix.module).weight()
        module = ours.get_submodule(matrix.module)
        assert torch.equal(module.weight, theirs.int_repr())
        assert module.factors.item() == theirs.q_scale()


@pytest.mark.parametrize("scope", ["attention", "overall", "head"])
def test_scales_per_output_unit_match_quantize_dynamic(make_loaded, logits, scope):
    loaded = make_loaded()
    selected = parse_scope(scope).select(weight_map(loaded.model))
    reference = torch_quantized(loaded.model, {matrix.module for matrix in selected}, per_channel_dynamic_qconfig)
    compressed = compress(loaded, f"dynamic_int8:{scope}:granularity=per_channel")
    assert torch.equal(logits(compressed.model), logits(reference))
    assert not torch.equal(logits(compressed.model), logits(compress(loaded, f"dynamic_int8:{scope}").model))
    for matrix in selected:
        theirs = reference.get_submodule(matrix.module).weight()
        module = compressed.model.get_submodule(matrix.module)
        assert torch.equal(module.weight, theirs.int_repr())
        assert torch.equal(module.factors.double(), theirs.q_per_channel_scales())


def test_parts_of_a_weight_with_scales_per_unit_are_its_rows():
    weight = quantize(torch.randn(6, 4, generator=torch.Generator().manual_seed(0)), "per_channel")
    upper, lower = weight.part(0, ((0, 2), (5, 6))), weight.part(0, ((2, 5),))
    assert upper.can_join(lower)
    assert not upper.can_join(quantize(torch.ones(3, 4)))
    whole = upper.join(0, [(((0, 2), (5, 6)), upper), (((2, 5),), lower)])
    assert torch.equal(whole.values(), weight.values())
    assert torch.equal(weight.transposed().part(1, ((2, 5),)).values(), lower.values().t())
    assert torch.equal(upper.masked(torch.zeros(3, 4, dtype=torch.bool)).factors, upper.factors)
    assert (weight.scales(), upper.scales()) == (6, 3)


@settings(max_examples=50, deadline=None, derandomize=True)
@given(st.lists(st.floats(-(2.0**99), 2.0**99, width=32), min_size=1, max_size=40))
def test_weights_are_quantized_as_by_the_observer(values):
    module = nn.Sequential(nn.Linear(len(values), 1, bias=False))
    module[0].weight = nn.Parameter(torch.tensor([values]))
    theirs = torch_quantized(module, {"0"})[0].weight()
    ours = quantize(module[0].weight)
    assert ours.factors.item() == theirs.q_scale()
    assert torch.equal(ours.integers, theirs.int_repr())
    assert torch.equal(ours.values(), theirs.dequantize())


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
def test_other_dtypes_are_quantized_as_float32(dtype):
    values = torch.randn(7, 9, generator=torch.Generator().manual_seed(0)).to(dtype)
    ours = quantize(values)
    assert torch.equal(ours.integers, quantize(values.float()).integers)


@settings(max_examples=50, deadline=None, derandomize=True)
@given(
    seed=st.integers(0, 10_000),
    exponent=st.integers(-9, 4),
    shift=st.sampled_from([0.0, -3.0, 0.7, 1e4]),
    rows=st.integers(0, 5),
    bias=st.booleans(),
    granularity=st.sampled_from(GRANULARITIES),
)
def test_the_simulation_computes_what_the_kernel_does(seed, exponent, shift, rows, bias, granularity):
    generator = torch.Generator().manual_seed(seed)
    weight = quantize(torch.randn(6, 33, generator=generator), granularity)
    offset = torch.randn(6, generator=generator) if bias else None
    inputs = torch.randn(rows, 33, generator=generator) * 10.0**exponent + shift
    kernel = DynamicInt8Linear(weight, offset, arithmetic="kernel")
    simulated = DynamicInt8Linear(weight, offset, arithmetic="simulated")
    assert (kernel.simulated, simulated.simulated) == (False, True)
    torch.testing.assert_close(simulated(inputs), kernel(inputs), rtol=1e-5, atol=1e-6 * (abs(shift) + 10.0**exponent))


@pytest.mark.parametrize("granularity", GRANULARITIES)
@pytest.mark.parametrize("seed", range(20))
def test_activations_near_the_middle_of_two_integers_are_rounded_as_by_torch(seed, granularity):
    """The kernel multiplies and adds before it rounds, so a value just below the middle may move to it."""
    generator = torch.Generator().manual_seed(seed)
    linear = nn.Linear(48, 30, bias=bool(seed % 2))
    low, high = (torch.rand(2, generator=generator) * torch.tensor([-4.0, 4.0])).tolist()
    middles = (torch.arange(48) - 10.5) * (high - low) / 127
    nudges = 1 + torch.randint(-4, 5, (50, 48), generator=generator) * 2.0**-23
    inputs = (middles * nudges).clamp(low, high)
    inputs[0, :2] = torch.tensor([low, high])
    qconfig = default_dynamic_qconfig if granularity == "per_tensor" else per_channel_dynamic_qconfig
    reference = torch_quantized(nn.Sequential(linear), {"0"}, qconfig)
    module = DynamicInt8Linear(quantize(linear.weight, granularity), linear.bias)
    assert torch.equal(module(inputs), reference(inputs))


@pytest.mark.parametrize("inputs", [torch.zeros(2, 4), torch.ones(2, 4), -torch.ones(2, 4), torch.zeros(0, 4)])
def test_degenerate_ranges(inputs):
    weight = quantize(torch.randn(3, 4, generator=torch.Generator().manual_seed(0)))
    simulated = DynamicInt8Linear(weight, None, arithmetic="simulated")(inputs)
    torch.testing.assert_close(simulated, DynamicInt8Linear(weight, None)(inputs))


@pytest.mark.parametrize("arithmetic", ["kernel", "simulated"])
@pytest.mark.parametrize("granularity", GRANULARITIES)
def test_rows_that_are_texts_are_each_quantized_as_by_torch(arithmetic, granularity):
    generator = torch.Generator().manual_seed(0)
    linear = nn.Linear(33, 6)
    module = DynamicInt8Linear(quantize(linear.weight, granularity), linear.bias, arithmetic=arithmetic)
    scales = torch.tensor([1e-6, 1.0, 30.0, 0.0])[:, None, None]
    texts = (torch.randn(4, 7, 33, generator=generator) + 0.3) * scales
    qconfig = default_dynamic_qconfig if granularity == "per_tensor" else per_channel_dynamic_qconfig
    reference = torch_quantized(nn.Sequential(linear), {"0"}, qconfig)
    alone = torch.stack([reference(text) for text in texts])
    module.rows_are_texts = True
    torch.testing.assert_close(module(texts), alone, rtol=1e-6, atol=1e-6)
    module.rows_are_texts = False
    assert not torch.allclose(module(texts), alone, atol=1e-3)


@pytest.mark.parametrize("arithmetic", ["kernel", "simulated"])
def test_a_text_with_nan_gives_nan_and_the_others_do_not(arithmetic):
    module = DynamicInt8Linear(quantize(torch.ones(3, 4)), None, arithmetic=arithmetic)
    texts = torch.ones(2, 5, 4)
    expected = module(texts[:1])
    texts[1, 2, 0] = torch.nan
    assert module(texts).isnan().all()
    module.rows_are_texts = True
    outputs = module(texts)
    assert torch.equal(outputs[:1], expected)
    assert outputs[1].isnan().all()


@pytest.mark.parametrize("arithmetic", ["kernel", "simulated"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_shape_and_dtype_of_the_input_are_kept(arithmetic, dtype):
    generator = torch.Generator().manual_seed(0)
    linear = nn.Linear(8, 5)
    module = DynamicInt8Linear(quantize(linear.weight), linear.bias, arithmetic=arithmetic)
    inputs = torch.randn(2, 3, 8, generator=generator).to(dtype)
    outputs = module(inputs)
    assert outputs.shape == (2, 3, 5)
    assert outputs.dtype == dtype
    torch.testing.assert_close(outputs, module(inputs.float()).to(dtype))


def test_the_module_can_be_copied():
    linear = nn.Linear(8, 5)
    module = DynamicInt8Linear(quantize(linear.weight), linear.bias)
    inputs = torch.ones(1, 8)
    assert torch.equal(copy.deepcopy(module)(inputs), module(inputs))


def test_masking_keeps_scale_and_integers():
    weight = Int8Weight(torch.tensor([[3, -128, 5]], dtype=torch.int8), torch.tensor([[0.5]]))
    masked = weight.masked(torch.tensor([[True, True, False]]))
    assert masked.factors.item() == 0.5
    assert masked.integers.dtype == torch.int8
    assert masked.integers.tolist() == [[3, -128, 0]]
    assert masked.values().tolist() == [[1.5, -64.0, 0.0]]
    assert weight.integers.tolist() == [[3, -128, 5]]


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_values_without_a_scale_are_refused(value):
    with pytest.raises(UnusableWeightError, match="cannot be quantized"):
        quantize(torch.tensor([[1.0, value]]))


def test_the_input_is_unchanged():
    values = torch.randn(4, 4, generator=torch.Generator().manual_seed(0))
    before = values.clone()
    METHOD.transform(DenseWeight(values), None, {"granularity": "per_channel"})
    assert torch.equal(values, before)


@pytest.mark.skipif(not torch.cpu._is_vnni_supported(), reason="this processor has no VNNI")
@pytest.mark.parametrize("shape", [(3, 7, 33), (1, 1, 33), (5, 33), (2, 0, 33), (0, 7, 33)])
@pytest.mark.parametrize("rows_are_texts", [True, False])
def test_the_kernel_for_vnni_computes_what_the_other_does(monkeypatch, shape, rows_are_texts):
    generator = torch.Generator().manual_seed(0)
    module = DynamicInt8Linear(quantize(torch.randn(6, 33, generator=generator)), None)
    module.rows_are_texts = rows_are_texts
    inputs = torch.randn(shape, generator=generator)
    with_vnni = module(inputs)
    assert with_vnni.shape == (*shape[:-1], 6)
    monkeypatch.setattr(torch.cpu, "_is_vnni_supported", lambda: False)
    monkeypatch.setattr(torch, "_int_mm", None)
    assert torch.equal(module(inputs), with_vnni)

"""16-bit weights, against torch's own rounding.

Covers ``compression.forms.cast_weight``.
"""

from __future__ import annotations

import pytest
import torch
from models.architectures import logits_of, make_architecture

from forgetmeter.compression.applying.compressor import Compressor
from forgetmeter.compression.applying.unit import Unit
from forgetmeter.compression.forms.unusable_weight import UnusableWeightError
from forgetmeter.compression.forms.weight import DenseWeight
from forgetmeter.compression.methods.cast import METHOD
from forgetmeter.models.loaded import Loaded
from forgetmeter.specs.recipe import parse_recipe


@pytest.mark.parametrize(("option", "dtype"), [("float16", torch.float16), ("bfloat16", torch.bfloat16)])
@pytest.mark.parametrize("name", ["llama", "gpt2", "gpt_neox"])
def test_weights_are_rounded_and_computed_in_the_models_dtype(name: str, option: str, dtype: torch.dtype) -> None:
    loaded = Loaded(make_architecture(name), tokenizer=None, family="decoder", name=name)  # type: ignore[arg-type]
    twin = make_architecture(name)
    with Compressor(loaded).applied(parse_recipe(f"cast:overall:dtype={option}")) as result:
        with torch.no_grad():
            for parameter in {matrix.parameter for matrix in result.weights}:
                weight = twin.get_parameter(parameter)
                weight.copy_(weight.to(dtype))
        assert torch.equal(logits_of(loaded.model), logits_of(twin))
        reached = result.reached
        assert reached.quantized_bytes == reached.dense_bytes - 2 * reached.selected_weights


def test_pruned_weights_stay_16_bit_and_can_be_quantized_afterwards() -> None:
    loaded = Loaded(make_architecture("llama"), tokenizer=None, family="decoder", name="x")  # type: ignore[arg-type]
    compressor = Compressor(loaded)
    reached = compressor.compressed(parse_recipe("cast:overall+l1_unstructured:overall:0.5")).reached
    assert reached.quantized_bytes == reached.dense_bytes - 2 * reached.selected_weights
    assert reached.selected_zeros == round(0.5 * reached.selected_weights)
    assert compressor.check(parse_recipe("cast:overall+dynamic_int8:overall")) == []
    assert (
        "put this step before 'dynamic_int8:overall'"
        in compressor.check(parse_recipe("dynamic_int8:overall+cast:overall"))[0]
    )


def test_a_weight_beyond_float16_is_refused() -> None:
    weight = DenseWeight(torch.tensor([[1.0, 7e4]]))
    with pytest.raises(UnusableWeightError, match="too large for float16; use dtype=bfloat16"):
        list(METHOD.prepare([Unit.of(weight)], {"dtype": "float16"}, seed=0)(None))
    (cast,) = METHOD.prepare([Unit.of(weight)], {"dtype": "bfloat16"}, seed=0)(None)
    assert cast.values().dtype == torch.bfloat16

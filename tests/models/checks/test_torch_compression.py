"""Models that torch itself has compressed: they can be evaluated, but not compressed."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from made_up_task import MadeUpTask
from tiny_models import make_llama, make_tokenizer
from torch import nn
from torch.nn.utils import parametrizations, prune
from transformers import PreTrainedModel

from forgetmeter.compression.applying.compressor import Compressor, compress
from forgetmeter.errors import UserError
from forgetmeter.models.checks.torch_compression import torch_compression
from forgetmeter.models.loading import wrap
from forgetmeter.study.evaluation import evaluate

LAYER = "model.layers.0.mlp.up_proj"


def quantized(model: PreTrainedModel) -> PreTrainedModel:
    return torch.ao.quantization.quantize_dynamic(model, {nn.Linear})


def masked(model: PreTrainedModel) -> PreTrainedModel:
    prune.l1_unstructured(model.get_submodule(LAYER), "weight", 0.5)
    return model


def parametrized(model: PreTrainedModel) -> PreTrainedModel:
    parametrizations.weight_norm(model.get_submodule(LAYER))
    return model


def subclassed(model: PreTrainedModel) -> PreTrainedModel:
    quantization = pytest.importorskip("torchao.quantization")
    quantization.quantize_(model, quantization.Int8WeightOnlyConfig())
    return model


class Adapted(nn.Module):
    """A layer with an adapter, with the names that peft gives to its parts; made up."""

    def __init__(self, base: nn.Linear) -> None:
        super().__init__()
        self.base_layer = base
        self.lora_A = nn.ModuleDict({"default": nn.Linear(base.in_features, 2, bias=False)})
        self.lora_B = nn.ModuleDict({"default": nn.Linear(2, base.out_features, bias=False)})

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        return self.base_layer(inputs) + self.lora_B["default"](self.lora_A["default"](inputs))


def adapted(model: PreTrainedModel) -> PreTrainedModel:
    parent = model.get_submodule(LAYER.rpartition(".")[0])
    parent.up_proj = Adapted(parent.up_proj)
    return model


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")
@pytest.mark.parametrize(
    ("change", "says"),
    [
        (quantized, "model.layers.0.self_attn.q_proj is quantized (DynamicQuantizedLinear); compress the original"),
        (masked, f"{LAYER} has a pruning mask; make it permanent with torch.nn.utils.prune.remove"),
        (adapted, f"{LAYER} has an adapter; merge it first (merge_and_unload of peft)"),
        (parametrized, f"{LAYER} has a parametrization; make it permanent"),
        (subclassed, "model.layers.0.self_attn.q_proj is quantized (Int8Tensor); compress the original model"),
    ],
)
def test_it_is_evaluated_but_not_compressed(change: Callable[[PreTrainedModel], PreTrainedModel], says: str) -> None:
    loaded = wrap(change(make_llama()), make_tokenizer(), name="mine")
    assert len(evaluate(loaded, [MadeUpTask(3)])["made_up"].outcomes) == 3
    for attempt in (lambda: compress(loaded, "l1_unstructured:overall:0.5"), lambda: Compressor(loaded)):
        with pytest.raises(UserError) as caught:
            attempt()
        assert str(caught.value).startswith(f"model 'mine' can be evaluated, but not compressed: {says}")


def test_permanent_pruning_leaves_an_ordinary_model() -> None:
    model = masked(make_llama())
    prune.remove(model.get_submodule(LAYER), "weight")
    assert torch_compression(model) is None

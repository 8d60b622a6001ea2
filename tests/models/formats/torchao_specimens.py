"""Checkpoints that torchao writes through transformers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from models.formats.specimen import Specimen
from models.unpacking.packed_checkpoints import wide_llama
from tiny_models import make_tokenizer
from torch import nn
from transformers import AutoModelForCausalLM, PreTrainedModel, TorchAoConfig


def writer(name: str, **options: Any) -> Callable[[Path], PreTrainedModel]:
    """Return a writer of a Llama that a configuration of torchao quantizes; torchao says its plain weights itself."""

    def write(folder: Path) -> PreTrainedModel:
        import torchao.quantization

        source = folder.with_name(f"{folder.name}-source")
        plain = wide_llama()
        plain.save_pretrained(source)
        method = TorchAoConfig(getattr(torchao.quantization, name)(**options))
        model = AutoModelForCausalLM.from_pretrained(source, quantization_config=method)
        model.save_pretrained(folder)
        make_tokenizer().save_pretrained(folder)
        for path, module in model.named_modules():
            if isinstance(module, nn.Linear) and type(module.weight.data) is not torch.Tensor:
                plain.get_submodule(path).weight.data = module.weight.dequantize().float()
        return plain

    return write


def _specimen(name: str, **options: Any) -> Specimen:
    return Specimen("torchao", f"`{name}`", "torchao, transformers", writer(name, **options), "torchao")


SPECIMENS: tuple[Specimen, ...] = (
    _specimen("Int8WeightOnlyConfig"),
    _specimen("Int8DynamicActivationInt8WeightConfig"),
    _specimen("IntxWeightOnlyConfig", weight_dtype=torch.int4),
    _specimen("Int8DynamicActivationIntxWeightConfig", weight_dtype=torch.int4),
    _specimen("Float8WeightOnlyConfig"),
)

"""Merges a LoRA adapter, as peft saves it, into the model that it changes: W + scaling * B @ A.

Source: Hu et al. 2021, "LoRA: Low-Rank Adaptation of Large Language Models"; rsLoRA's scaling: Kalajdzievski 2023.
"""

from __future__ import annotations

import math
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, MutableMapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers.pytorch_utils import Conv1D

from forgetmeter.errors import UserError, one_line
from forgetmeter.models.files.model_files import (
    ADAPTER_CONFIG,
    ADAPTER_WEIGHTS,
    TensorHeader,
    raw_config,
    tensor_headers,
)
from forgetmeter.models.files.safetensors_file import stored_tensor
from forgetmeter.models.on_disk.stored_weights import name_in
from forgetmeter.models.unpacking.plain_tensor import PlainTensor

_WEIGHT = re.compile(r"base_model\.model\.(?P<module>.+)\.lora_(?P<part>[AB])\.weight")
_DTYPES = ("F64", "F32", "F16", "BF16")
_WITHOUT_EFFECT = {
    "auto_mapping",
    "base_model_name_or_path",
    "ensure_weight_tying",
    "eva_config",
    "fan_in_fan_out",
    "inference_mode",
    "lora_dropout",
    "megatron_core",
    "peft_version",
    "qalora_group_size",
    "revision",
    "runtime_config",
    "task_type",
}
"""Settings that only affect training, or that the weights' names and shapes imply."""
_UNREADABLE = (AttributeError, ArithmeticError, RecursionError, TypeError, ValueError, re.error)
_TARGETS = {"exclude_modules", "layers_pattern", "layers_to_transform", "target_modules"}
_READ = {"alpha_pattern", "lora_alpha", "r", "rank_pattern", "use_rslora", *_TARGETS}
_ALL_LINEAR = "all-linear"
_PLAIN: dict[str, tuple[Any, ...]] = {
    "peft_type": ("LORA",),
    "bias": ("none",),
    "init_lora_weights": (True, False, None, "gaussian", "eva", "orthogonal"),
}
"""Allowed values of these settings in plain LoRA; settings not listed anywhere here must be empty.

Initializations not listed also change the base model.
"""


class _NotPlainError(Exception):
    """An adapter is not plain LoRA; the message completes a sentence that begins with "the adapter"."""


def merged(base: Sequence[PlainTensor], folder: Path, model: PreTrainedModel, name: str) -> tuple[PlainTensor, ...]:
    """Return the tensors of a model with an adapter merged into it; only headers are read.

    Args:
        base: The tensors of the model that the adapter changes.
        folder: The adapter's folder.
        model: The model that it changes; it may be on the ``meta`` device.
        name: The adapter's name in errors.

    Raises:
        UserError: It is not plain LoRA, or does not fit the model.
    """
    try:
        adapter = _Lora(raw_config(folder, ADAPTER_CONFIG), tensor_headers((folder / ADAPTER_WEIGHTS,)))
        name_of, modules = name_in(model), dict(model.named_modules())
        # Where transformers joins several tensors, such as experts, each is still a layer of its own in the file.
        places = {
            tensor.header.name: (name_of(tensor.header.name) or tensor.header.name).removesuffix(".weight")
            for tensor in base
        }
        # Adapters made before transformers renamed a model's layers have the names of its checkpoint.
        layers = set(places.values())
        adapter.pairs = {
            name if name in layers else places.get(f"{name}.weight", name): pair for name, pair in adapter.pairs.items()
        }
        # A weight of two layers that is stored once, under either name, is read into both.
        once = {each for each in adapter.pairs if _other_layers(each, modules) - layers}
        if left := sorted(adapter.pairs.keys() - (layers - once)):
            raise _NotPlainError(f"changes {left[0]}, for which its base model stores no separate weight")
        adapter.check_targets(name for name in places.values() if isinstance(modules.get(name), (nn.Linear, Conv1D)))
        result = []
        for tensor in base:
            module = places[tensor.header.name]
            is_changed = module in adapter.pairs and tensor.header.name.endswith(".weight")
            is_transposed = isinstance(modules.get(module), Conv1D)
            result.append(adapter.applied(module, tensor, is_transposed=is_transposed) if is_changed else tensor)
    except (_NotPlainError, *_UNREADABLE) as error:
        problem = (
            error if isinstance(error, _NotPlainError) else f"has settings that cannot be read ({one_line(error)})"
        )
        raise UserError(
            f"model '{name}': the adapter {problem}; merge it into its model with peft's merge_and_unload, and save "
            "the result"
        ) from None
    return tuple(result)


def _other_layers(layer: str, modules: Mapping[str, nn.Module]) -> set[str]:
    """Return the other layers with the same weight as a layer, such as the embedding of a tied head."""
    weight = getattr(modules.get(layer), "weight", None)
    same = {name for name, each in modules.items() if weight is not None and getattr(each, "weight", None) is weight}
    return same - {layer}


def _names(modules: Any, layer: str) -> bool:  # noqa: ANN401 - of JSON
    """Whether a layer matches a regular expression, or any name in a list."""
    if isinstance(modules, str):
        return bool(re.fullmatch(modules, layer))
    return any(layer == each or layer.endswith(f".{each}") for each in modules)


def _listed(value: Any) -> list[Any]:  # noqa: ANN401 - of JSON
    return value if isinstance(value, list) else [value]


class _Lora:
    """The matrices of an adapter.

    Attributes:
        pairs: The matrices ``A`` and ``B`` by the name of the layer that they change.
    """

    def __init__(self, settings: Mapping[str, Any], headers: Iterable[TensorHeader]) -> None:
        for key, value in settings.items():
            is_plain = value in _PLAIN[key] if key in _PLAIN else not value
            if not is_plain and key not in _WITHOUT_EFFECT | _READ:
                raise _NotPlainError(f"is not plain LoRA ({key} is {value!r})")
        self._settings = settings
        self.pairs: MutableMapping[str, dict[str, TensorHeader]] = defaultdict(dict)
        for header in headers:
            match = _WEIGHT.fullmatch(header.name)
            if match is None:
                raise _NotPlainError(f"holds {header.name}, which is not a matrix of plain LoRA")
            if header.dtype not in _DTYPES:
                raise _NotPlainError(f"stores {header.name} as {header.dtype}")
            self.pairs[match["module"]][match["part"]] = header
        if not self.pairs:
            raise _NotPlainError("holds no matrices, so it would change nothing")

    def check_targets(self, layers: Iterable[str]) -> None:
        """Check that the settings and the matrices name the same layers; peft would ignore some matrices otherwise."""
        for layer in layers:
            is_target = self._is_target(layer)
            if is_target is not None and is_target != (layer in self.pairs):
                has, names = ("no", "") if is_target else ("a", "not ")
                raise _NotPlainError(f"has {has} matrix for {layer}, which its settings do {names}name")

    def _is_target(self, layer: str) -> bool | None:
        """Whether the settings name a layer, by peft's rules; ``None`` if they do not say."""
        targets, excluded = self._settings.get("target_modules"), self._settings.get("exclude_modules")
        if not targets or targets == _ALL_LINEAR:
            return None
        if excluded and _names(excluded, layer):
            return False
        is_named, indices = _names(targets, layer), self._settings.get("layers_to_transform")
        if not is_named or isinstance(targets, str) or layer in targets or indices in (None, []):
            return is_named
        patterns = self._settings.get("layers_pattern") or r"[^.]*"
        found = (re.match(rf".*\.{each}\.(\d+)\.", layer) for each in _listed(patterns))
        index = next((int(match[1]) for match in found if match), None)
        return index in _listed(indices)

    def applied(self, module: str, tensor: PlainTensor, *, is_transposed: bool) -> PlainTensor:
        """Return a layer's weight with the adapter's change added.

        ``is_transposed``: the layer stores its weight as (inputs, outputs).
        """
        pair, shape = self.pairs[module], tensor.header.shape[:: -1 if is_transposed else 1]
        rank = self._setting("rank_pattern", "r", module)
        if len(shape) != 2:
            raise _NotPlainError(f"changes {module}, whose weight has the shape {list(shape)} and is not a matrix")
        wanted = {"A": (rank, shape[1]), "B": (shape[0], rank)}
        for part, size in wanted.items():
            if part not in pair:
                raise _NotPlainError(f"lacks lora_{part} of {module}")
            if pair[part].shape != size:
                raise _NotPlainError(
                    f"has lora_{part} of shape {list(pair[part].shape)} for {module}; its settings (rank {rank}) and "
                    f"the weight's shape {list(tensor.header.shape)} require {list(size)}"
                )
        is_stabilized = self._settings.get("use_rslora") or False
        if not isinstance(is_stabilized, bool):
            raise _NotPlainError(f"sets use_rslora to {is_stabilized!r:.40}, which is neither true nor false")
        scaling = self._setting("alpha_pattern", "lora_alpha", module) / (math.sqrt(rank) if is_stabilized else rank)

        def read() -> Tensor:
            # In float32, the product would depend on the machine.
            before, after = (stored_tensor(pair[part]).read().to(torch.float64) for part in "AB")
            change = after @ before * scaling
            values = tensor.read()
            return (values + (change.T if is_transposed else change)).to(values.dtype)

        return PlainTensor(tensor.header, read)

    def _setting(self, pattern: str, otherwise: str, module: str) -> Any:  # noqa: ANN401 - of JSON
        values = (self._settings.get(pattern) or {}).items()
        found = (value for key, value in values if re.fullmatch(rf"(.*\.)?({key})", module))
        value = next(found, self._settings.get(otherwise))
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
            raise _NotPlainError(f"has no finite numeric {otherwise} for {module} (got {value!r:.40})")
        return value

"""Recognizes models that torch has compressed, or peft adapted: they can be scored, but not be compressed."""

from __future__ import annotations

from torch import nn
from torch.nn.utils import parametrize, prune
from transformers import PreTrainedModel

from forgetmeter.models.loaded import Loaded
from forgetmeter.models.roles.weight_map import is_quantized


def torch_compression(model: PreTrainedModel) -> str | None:
    """Return which layer was compressed, reparametrized or adapted, and how; ``None`` if there is none."""
    for name, module in model.named_modules():
        how = _compression_of(module)
        if how is not None:
            return f"{name} {how}"
    return None


def torch_compression_problem(loaded: Loaded) -> str | None:
    """Return why recipes cannot be applied to a model that torch has compressed, and what to do; else ``None``."""
    found = torch_compression(loaded.model)
    return found and f"model '{loaded.name}' can be evaluated, but not compressed: {found}"


def _compression_of(module: nn.Module) -> str | None:
    # Not prune.is_pruned, which also looks at the modules below.
    if isinstance(getattr(module, "base_layer", None), nn.Module):
        return "has an adapter; merge it first (merge_and_unload of peft)"
    if any(isinstance(hook, prune.BasePruningMethod) for hook in module._forward_pre_hooks.values()):
        return "has a pruning mask; make it permanent with torch.nn.utils.prune.remove"
    if parametrize.is_parametrized(module):
        return "has a parametrization; make it permanent with torch.nn.utils.parametrize.remove_parametrizations"
    quantized = [parameter for parameter in module.parameters(recurse=False) if is_quantized(parameter)]
    if quantized or type(module).__module__.startswith("torch.ao.nn."):
        name = type(quantized[0]).__name__ if quantized else module._get_name()
        return f"is quantized ({name}); compress the original model"
    return None

"""Which parameters compression leaves alone, and why."""

from __future__ import annotations

from collections.abc import Mapping

from torch import nn
from torch.nn.modules.conv import _ConvNd
from transformers import PreTrainedModel

INPUT_EMBEDDING = "input embedding"
OTHER_EMBEDDING = "other embedding"
CONVOLUTION = "convolution"
NORM = "norm"
ROUTER = "router of experts"
QUANTIZED = "quantized already"

_ROUTERS = ("gate", "router", "shared_expert_gate")


def reason_to_leave_alone(model: PreTrainedModel, modules: Mapping[str, nn.Module], parameter: str) -> str | None:
    """Return why no recipe works on a parameter, or ``None`` if one may.

    Args:
        model: The model.
        modules: Its modules by name.
        parameter: The parameter's name.
    """
    path = parameter.rpartition(".")[0]
    module = modules[path]
    if is_quantized(module.get_parameter(parameter.rpartition(".")[2])):
        return QUANTIZED
    if isinstance(module, nn.Embedding):
        return INPUT_EMBEDDING if module is model.get_input_embeddings() else OTHER_EMBEDDING
    if isinstance(module, _ConvNd):
        return CONVOLUTION
    if type(module).__name__.endswith("Norm"):
        return NORM
    return ROUTER if _is_router(modules, path) else None


def is_quantized(tensor: nn.Parameter) -> bool:
    """Whether a parameter is of a kind of its own, such as torchao's, rather than plain numbers."""
    return type(tensor) is not nn.Parameter


def _is_router(modules: Mapping[str, nn.Module], path: str) -> bool:
    """Whether a module chooses between the experts beside it."""
    parent, _, name = path.rpartition(".")
    return name in _ROUTERS and hasattr(modules.get(parent), "experts")

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
    if isinstance(module, nn.Embedding):
        return INPUT_EMBEDDING if module is model.get_input_embeddings() else OTHER_EMBEDDING
    if isinstance(module, _ConvNd):
        return CONVOLUTION
    if type(module).__name__.endswith("Norm"):
        return NORM
    return ROUTER if _is_router(modules, path) else None


def _is_router(modules: Mapping[str, nn.Module], path: str) -> bool:
    """Whether a module chooses between the experts beside it."""
    parent, _, name = path.rpartition(".")
    return name in _ROUTERS and hasattr(modules.get(parent), "experts")

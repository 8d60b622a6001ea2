"""Experts of which each has its own layer, where transformers keeps all their matrices in one tensor."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from copy import copy
from types import MethodType
from typing import Any

from torch import Tensor, nn


def with_expert_layers(experts: nn.Module, name: str, layers: Sequence[nn.Module]) -> nn.Module:
    """Return a copy of a module of experts that computes with layers in place of the matrices in one of its tensors.

    The copy shares everything else with the original, which does not change. It calls its experts one by one, by the
    plain loop of transformers: the other implementations multiply by the whole tensor.

    Args:
        experts: A module with experts, as declared by transformers.
        name: The parameter, shape ``(experts, output units, input units)``.
        layers: One layer per expert, without a bias.
    """
    new = copy(experts)
    new._parameters = {key: value for key, value in experts._parameters.items() if key != name}
    new._modules = {**experts._modules, name: ExpertLayers(layers)}
    new.forward = MethodType(inspect.unwrap(type(experts).forward), new)
    return new


class ExpertLayers(nn.Module):  # type: ignore[misc] # torch is not followed by mypy
    """The layers of experts, in the place of the tensor of their matrices.

    The loop of transformers computes ``linear(inputs, tensor[expert])``. Here, an expert is no matrix, but that call
    applies its layer.
    """

    def __init__(self, layers: Sequence[nn.Module]) -> None:
        """Take one layer per expert."""
        super().__init__()
        self.layers = nn.ModuleList(layers)

    def __getitem__(self, expert: int | Tensor) -> _Expert:
        return _Expert(self.layers[int(expert)])


class _Expert:
    """A layer that stands for its weight in ``torch.nn.functional.linear``."""

    def __init__(self, layer: nn.Module) -> None:
        self.layer = layer

    @classmethod
    def __torch_function__(cls, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:  # noqa: ANN401
        inputs, expert, *bias = args
        if function is not nn.functional.linear or kwargs or not isinstance(expert, cls):
            raise TypeError(f"an expert with its own layer is used by {function}, not by linear(inputs, expert)")
        outputs = expert.layer(inputs)
        return outputs + bias[0] if bias and bias[0] is not None else outputs

"""One layer per expert, for models in which transformers keeps all experts in one tensor."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from copy import copy
from types import MethodType
from typing import Any

import torch
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

    The loops of transformers compute ``linear(inputs, tensor[expert])``, or ``inputs @ tensor[expert]`` if matrices are
    transposed. Some compute ``bmm(inputs, tensor)``, of a transposed view if matrices are not. Here, an expert is not a
    matrix, but these calls apply its layer.
    """

    def __init__(self, layers: Sequence[nn.Module]) -> None:
        """Take one layer per expert."""
        super().__init__()
        self.layers = nn.ModuleList(layers)

    @property
    def shape(self) -> tuple[int]:
        """The number of experts."""
        return (len(self.layers),)

    def transpose(self, *axes: int) -> ExpertLayers:  # noqa: ARG002
        """Return itself: layers handle the orientation of their weights."""
        return self

    def __getitem__(self, expert: int | Tensor) -> _Expert:
        return _Expert(self.layers[int(expert)])

    @classmethod
    def __torch_function__(cls, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:  # noqa: ANN401
        inputs, experts = args
        if function is not torch.bmm or kwargs:
            raise _unsupported(function)
        return torch.stack([layer(each) for layer, each in zip(experts.layers, inputs, strict=True)])


class _Expert:
    """A layer that stands for its weight in a product with inputs."""

    def __init__(self, layer: nn.Module) -> None:
        self.layer = layer

    @classmethod
    def __torch_function__(cls, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:  # noqa: ANN401
        inputs, expert, *bias = args
        if function not in _PRODUCTS or kwargs or not isinstance(expert, cls):
            raise _unsupported(function)
        outputs = expert.layer(inputs)
        return outputs + bias[0] if bias and bias[0] is not None else outputs


_PRODUCTS = (nn.functional.linear, torch.matmul, Tensor.matmul, Tensor.__matmul__)


def _unsupported(function: object) -> TypeError:
    name = getattr(function, "__name__", function)
    return TypeError(
        f"this architecture's code passes expert weights to {name}, but compressed experts become separate "
        "layers, which can only be multiplied by inputs; choose a scope without experts"
    )

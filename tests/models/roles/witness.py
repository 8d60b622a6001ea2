"""What a weight does, found by changing it and watching the operations of the model.

The witness of the roles: it knows no names of parameters.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from transformers import PreTrainedModel

from forgetmeter.models.family import Family

_BLOCK = re.compile(r"^(?:[^.]*[^.\d][^.]*\.)+(\d+)$")
_SCALED = "_scaled_dot_product"
_PRODUCTS = ("bmm", "baddbmm")
_ACTIVATIONS = ("silu", "gelu", "relu", "tanh", "sigmoid", "erf")


@dataclass(frozen=True)
class Operation:
    """An operation of the model, its operands, and the index of the block that it is part of."""

    name: str
    operands: tuple[Tensor, ...]
    layer: int | None

    def changed(self, other: Operation) -> list[int]:
        """The operands that differ."""
        pairs = zip(self.operands, other.operands, strict=True)
        return [at for at, (one, two) in enumerate(pairs) if one.shape != two.shape or not torch.equal(one, two)]


class Watching(TorchDispatchMode):
    """Records the operands of attention's products and of activations, apart from those with weights."""

    def __init__(self, model: PreTrainedModel) -> None:
        super().__init__()
        # Products with weights are projections, not attention.
        self.weights = {parameter.untyped_storage().data_ptr() for parameter in model.parameters()}
        self.operations: list[Operation] = []
        self.layer: int | None = None

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func.overloadpacket.__name__
        given = [each for each in args if isinstance(each, Tensor)]
        tensors = tuple(each.clone() for each in given)
        if name.startswith(_SCALED):
            self.operations.append(Operation("attention", tensors[:3], self.layer))
        elif name in _PRODUCTS and not any(each.untyped_storage().data_ptr() in self.weights for each in given):
            self.operations.append(Operation("product", tensors[-2:], self.layer))
        elif name in _ACTIVATIONS:
            self.operations.append(Operation("activation", tensors[:1], self.layer))
        return func(*args, **(kwargs or {}))


def tokens(family: Family) -> dict[str, Tensor]:
    inputs = {"input_ids": torch.tensor([[5, 9, 17, 33, 4, 20, 7]])}
    return inputs | ({"decoder_input_ids": torch.tensor([[2, 8, 19, 6]])} if family == "encoder-decoder" else {})


@torch.no_grad()
def watched(model: PreTrainedModel, family: Family) -> list[Operation]:
    """The operations of one pass, in order."""
    watching = Watching(model)
    hooks = []
    for name, module in model.named_modules():
        if number := _BLOCK.search(name):

            def entered(*_: Any, layer: int = int(number[1])) -> None:
                watching.layer = layer

            def left(*_: Any) -> None:
                watching.layer = None

            hooks += [module.register_forward_pre_hook(entered), module.register_forward_hook(left)]
    with watching:
        model(**tokens(family))
    for hook in hooks:
        hook.remove()
    return watching.operations


@contextmanager
def changed_at(parameter: Tensor, axis: int, indices: Sequence[int]) -> Iterator[None]:
    """Add a different amount to each weight at some indices of an axis."""
    before = parameter.detach().clone()
    index = torch.tensor(indices)
    with torch.no_grad():
        part = parameter.index_select(axis, index)
        parameter.index_copy_(axis, index, part + 0.3 + 0.1 * torch.rand_like(part))
    try:
        yield
    finally:
        with torch.no_grad():
            parameter.copy_(before)


def is_probabilities(tensor: Tensor) -> bool:
    """Whether the rows sum to one, as those of attention's weights, or to less with an attention sink."""
    return bool((tensor >= 0).all() and (tensor.sum(-1) < 1 + 1e-4).all())


def first_effect(before: Sequence[Operation], after: Sequence[Operation], layer: int | None = None) -> tuple[int, str]:
    """Which operation the change of a weight first reached, and as what: query, key, value, several, an activation.

    If a layer is given, only operations of this block count. If none was reached, the name is ``nothing``.
    """
    for place, (one, two) in enumerate(zip(before, after, strict=True)):
        changed = one.changed(two)
        if not changed or (layer is not None and one.layer != layer):
            continue
        if one.name == "activation":
            return place, "activation"
        if one.name == "attention":
            return place, " and ".join(("query", "key", "value")[at] for at in changed)
        if changed == [0]:
            return place, "query"
        return place, "value" if is_probabilities(one.operands[0]) else "key"
    return len(before), "nothing"

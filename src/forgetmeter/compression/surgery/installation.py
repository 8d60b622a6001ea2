"""Installs weights in a model, and restores the original ones."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from itertools import groupby

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers.pytorch_utils import Conv1D

from forgetmeter.compression.applying.unit import Unit, joined
from forgetmeter.compression.forms.weight import DenseWeight, Weight, cut, dropped_among, put
from forgetmeter.compression.surgery.block_dropping import Undo, drop_blocks
from forgetmeter.compression.surgery.expert_layers import with_expert_layers
from forgetmeter.compression.surgery.untying import declare_untied
from forgetmeter.models.roles.weight_map import names_of_shared
from forgetmeter.specs.ranges import Ranges, count, without
from forgetmeter.specs.role import Matrix


def install(model: PreTrainedModel, weights: Mapping[Matrix, Weight]) -> Undo:
    """Replace the model's weights, keeping the originals to restore them.

    Forms with their own layer replace the module, or the matrices of its experts. All others become a new parameter
    without gradient; simulated forms become plain values in the dtype of the parameter they replace. Missing parts of a
    fused parameter keep the model's own weights. Where several layers share a parameter, as in Zamba, each gets the new
    weights; so does the head that is tied to a token embedding. A tied head that gets weights of its own stays untied
    until its installation is undone, and the embedding keeps its own. Blocks with dropped weights are removed from the
    model.

    Args:
        weights: The weights to install, by matrix of ``weight_map(model)``. Copied only if parts of one parameter
            were compressed separately.

    Returns:
        A function that restores everything, including ties. Later installations must be undone first. If installing
        fails, everything is restored before the error is raised.
    """
    dropped = dropped_among(weights)
    left = [(matrix, weight) for matrix, weight in weights.items() if not weight.is_dropped]
    shared, heads = names_of_shared(model), tied_heads(weights)
    with ExitStack() as undoing:
        for parameter, of_parameter in groupby(joined(left), key=lambda unit: unit.parameter):
            units = list(of_parameter)
            undoing.callback(_install_parameter(model, names_to_change(shared, parameter, heads), units))
        for matrix in weights:
            if matrix.tied_to is not None:
                undoing.callback(declare_untied(model, matrix))
        if dropped:
            # Last, since it renames the remaining blocks.
            undoing.callback(drop_blocks(model, dropped))
        return undoing.pop_all().close
    raise AssertionError("unreachable: the block above returns or raises")


def tied_heads(matrices: Iterable[Matrix]) -> frozenset[str]:
    """Return the parameters of heads among some matrices that are tied to an embedding."""
    return frozenset(matrix.parameter for matrix in matrices if matrix.tied_to is not None)


def names_to_change(shared: Mapping[str, Sequence[str]], parameter: str, heads: Set[str]) -> list[str]:
    """Return the names of a parameter and of all layers that share it, which its new weights replace.

    Args:
        shared: All names of each parameter that has several.
        parameter: The parameter's name.
        heads: Tied heads that get weights of their own; they leave the embedding as it is, and it leaves them.
    """
    others = () if parameter in heads else shared.get(parameter, ())
    return [parameter, *(name for name in others if name not in {parameter, *heads})]


def name_in_each_module(model: PreTrainedModel, names: Sequence[str]) -> dict[nn.Module, str]:
    """Return the first name of a parameter in each module that holds it; a module may be part of several others."""
    return {model.get_submodule(name.rpartition(".")[0]): name for name in reversed(names)}


@contextmanager
def installed(model: PreTrainedModel, weights: Mapping[Matrix, Weight]) -> Iterator[None]:
    """Install weights for the duration of a ``with`` block."""
    undo = install(model, weights)
    try:
        yield
    finally:
        undo()


def _install_parameter(model: PreTrainedModel, names: Sequence[str], units: Sequence[Unit]) -> Undo:
    """Install weights in a parameter with these names."""
    modules = name_in_each_module(model, names)
    with ExitStack() as undoing:
        if any(unit.weight.has_layer for unit in units):
            is_expert = units[0].matrices[0].form in ("tensor", "transposed")
            for module, name in modules.items():
                new = (_with_experts if is_expert else _with_layer)(module, name, units)
                paths = (other.rpartition(".")[0] for other in names)
                at = [path for path in paths if model.get_submodule(path) is module]
                undoing.callback(_exchange(model, at, new))
            return undoing.pop_all().close
        old = model.get_parameter(names[0])
        values = parameter_values(old.detach(), units)
        if values.shape != old.shape:
            shapes = f"shape {tuple(old.shape)}, the new weights {tuple(values.shape)}"
            raise ValueError(f"{names[0]} has {shapes}")
        new = nn.Parameter(values, requires_grad=False)
        for module, name in modules.items():
            key = name.rpartition(".")[2]
            setattr(module, key, new)
            undoing.callback(setattr, module, key, old)
        return undoing.pop_all().close
    raise AssertionError("unreachable: the block above returns or raises")


def parameter_values(old: Tensor, units: Sequence[Unit]) -> Tensor:
    """Return a parameter's values after installing units, which must not overlap; ``old`` is not changed."""
    if _is_whole(units, old):
        return units[0].weight.parameter(old.dtype)
    values = old.clone()
    for unit in units:
        put(values, unit.axis, unit.ranges, unit.weight.values())
    return values


def _is_whole(units: Sequence[Unit], parameter: Tensor) -> bool:
    return len(units) == 1 and count(units[0].ranges) in (0, parameter.shape[units[0].axis])


def _with_layer(old: nn.Module, parameter: str, units: Sequence[Unit]) -> nn.Module:
    """Return the layer that replaces a module."""
    if not isinstance(old, (nn.Linear, Conv1D)):
        raise TypeError(f"{parameter} is in a {type(old).__name__}; int8 weights replace linear layers only")
    return _layer(units, old.weight, old.bias, is_conv1d=isinstance(old, Conv1D)).train(old.training)


def _with_experts(old: nn.Module, parameter: str, units: Sequence[Unit]) -> nn.Module:
    """Return the module that replaces one with experts."""
    name = parameter.rpartition(".")[2]
    tensor = old.get_parameter(name).detach()
    # Each expert takes its slice of these values.
    ready = [
        unit if unit.weight.has_layer else replace(unit, weight=DenseWeight(unit.weight.values())) for unit in units
    ]
    layers = [
        _layer([unit.expert(number) for unit in ready], matrix, None, is_conv1d=units[0].is_transposed_layer)
        for number, matrix in enumerate(tensor)
    ]
    return with_expert_layers(old, name, layers)


def _exchange(model: PreTrainedModel, paths: Sequence[str], new: nn.Module) -> Undo:
    """Put a module in place of another one, which may have several places."""
    with ExitStack() as undoing:
        for path in paths:
            parent_name, _, name = path.rpartition(".")
            parent = model.get_submodule(parent_name)
            old = parent.get_submodule(name)
            setattr(parent, name, new)
            undoing.callback(setattr, parent, name, old)
        return undoing.pop_all().close
    raise AssertionError("unreachable: the block above returns or raises")


def _layer(units: Sequence[Unit], weight: Tensor, bias: Tensor | None, *, is_conv1d: bool) -> nn.Module:
    """Return the layer that replaces a linear one with these weights."""
    if _is_whole(units, weight):
        return units[0].weight.layer(bias, is_conv1d=is_conv1d)
    axis = units[0].axis
    own = [unit for unit in units if unit.weight.has_layer]
    parts = [(unit.ranges, unit.weight.layer(_rows(bias, unit.ranges), is_conv1d=is_conv1d)) for unit in own]
    rest = without(weight.shape[axis], [unit.ranges for unit in own])
    if rest:
        values = parameter_values(weight.detach(), [unit for unit in units if unit not in own])
        rows = cut(values, axis, rest)
        rows = rows.t() if is_conv1d else rows
        parts.append((rest, DenseRows(rows.contiguous(), _rows(bias, rest))))
    return PartwiseLinear(parts)


def _rows(bias: Tensor | None, ranges: Ranges) -> Tensor | None:
    return None if bias is None else cut(bias.detach(), 0, ranges)


class PartwiseLinear(nn.Module):  # type: ignore[misc] # torch is not followed by mypy
    """A fused linear layer whose output units are quantized differently or only in part.

    Attributes:
        parts: The layers, each computing some of the output units.
        order: The index of each output unit among those of all parts; int64, shape ``(output units,)``.
    """

    def __init__(self, parts: Sequence[tuple[Ranges, nn.Module]]) -> None:
        """Take layers with a ``weight``, each with its output units; together they cover each unit once."""
        super().__init__()
        self.parts = nn.ModuleList(layer for _, layer in parts)
        places = torch.cat([torch.arange(start, stop) for ranges, _ in parts for start, stop in ranges])
        self.register_buffer("order", torch.argsort(places).to(parts[0][1].weight.device), persistent=False)

    def forward(self, inputs: Tensor) -> Tensor:
        """Apply the layer to ``(..., input units)``; returns ``(..., output units)``."""
        return torch.cat([part(inputs) for part in self.parts], dim=-1).index_select(-1, self.order)


class DenseRows(nn.Module):  # type: ignore[misc] # torch is not followed by mypy
    """Some uncompressed output units of a linear layer.

    Its weights are buffers, since they are no longer parameters of the model.

    Attributes:
        weight: Shape ``(output units, input units)``.
        bias: Shape ``(output units,)``, or ``None``.
    """

    def __init__(self, weight: Tensor, bias: Tensor | None) -> None:
        """Take weights without copying them."""
        super().__init__()
        self.register_buffer("weight", weight)
        self.register_buffer("bias", bias)

    def forward(self, inputs: Tensor) -> Tensor:
        """Apply the layer to ``(..., input units)``; returns ``(..., output units)``."""
        return nn.functional.linear(inputs, self.weight, self.bias)

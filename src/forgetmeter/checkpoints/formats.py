"""The formats that a compressed checkpoint may be stored in, and what each can hold."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from copy import deepcopy

import torch
from torch import nn
from transformers import PreTrainedModel

from forgetmeter.checkpoints.request import Request
from forgetmeter.checkpoints.storage import DenseStorage, PackQuantizedStorage, Storage
from forgetmeter.compression.table import load_method
from forgetmeter.compression.untying import stays_tied
from forgetmeter.models.weight_map import weight_map
from forgetmeter.specs.recipe import Recipe, Step
from forgetmeter.specs.role import Matrix

_PACKED = "round_to_nearest"


def storage_for(request: Request) -> Storage:
    """Return what stores the tensors of a request that was checked."""
    if request.format == "dense":
        return DenseStorage()
    return PackQuantizedStorage()


def format_problems(request: Request, model: PreTrainedModel) -> Iterator[str]:
    """Say why a recipe's result cannot be stored in the format asked for, a sentence each.

    Args:
        request: The request, whose recipe fits the model.
        model: The model without its weights.
    """
    if request.format == "dense":
        return
    matrices = weight_map(model)
    yield from _reader_problems(request, model, matrices)
    steps = quantizing(request.recipe)
    if not steps:
        yield (
            f"--format compressed-tensors stores weights of few bits, and '{request.recipe}' makes none (releases that "
            "are still read store no zeros in less); choose --format dense"
        )
    selected = [matrix for matrix in matrices if any(step.scope.selects(matrix) for step in steps)]
    other = next((matrix for matrix in selected if matrix.form != "linear"), None)
    if other is not None:
        yield (
            f"--format compressed-tensors knows linear layers only, and {other.parameter} is none "
            f"(a {'Conv1D' if other.form == 'conv1d' else 'tensor of experts'}); choose --format dense"
        )
    yield from _quantization_problems(steps, matrices)


def kernel_problems(recipe: Recipe) -> Iterator[str]:
    """Say which steps compute with kernels of their own, of which a checkpoint could hold the weights alone."""
    for step in recipe.steps:
        if load_method(step.method).declaration.needs_kernel:
            yield (
                f"'{step}' computes with kernels of its own, and a checkpoint holds weights alone: it would load as "
                f"something else than was measured; for weights of few bits choose round_to_nearest:{step.scope}:8"
            )


def _reader_problems(request: Request, model: PreTrainedModel, matrices: Sequence[Matrix]) -> Iterator[str]:
    """Refuse what transformers cannot load again: it looks for plain weights where there are none."""
    packed = {
        matrix.parameter: model.get_submodule(matrix.parameter.rpartition(".")[0])
        for matrix in matrices
        if matrix.form == "linear" and any(step.scope.selects(matrix) for step in quantizing(request.recipe))
    }
    own = next((name for name, module in packed.items() if type(module) is not nn.Linear), None)
    if own is not None or not _can_be_without_weights(model, packed):
        yield (
            "--format compressed-tensors cannot be loaded by transformers for models of type "
            f"{model.config.model_type}, whose own code looks at weights that are packed; choose --format dense"
        )
    for matrix in matrices:
        if matrix.tied_to is not None and request.recipe.selects(matrix) and stays_tied(model, matrix):
            yield (
                f"--format compressed-tensors cannot hold {matrix.parameter}: the configuration goes on tying it, as "
                "it ties other weights too, and transformers looks for a plain tensor then; choose --format dense"
            )


def _can_be_without_weights(model: PreTrainedModel, packed: Iterable[str]) -> bool:
    """Whether a model is made where some of its layers have no plain weights: tried, on a copy without values."""
    copy = deepcopy(model)
    for name in packed:
        del copy.get_submodule(name.rpartition(".")[0]).weight
    try:
        with torch.random.fork_rng():
            for module in copy.modules():
                copy._init_weights(module)
    except AttributeError:
        return False
    return True


def _quantization_problems(steps: Sequence[Step], matrices: Sequence[Matrix]) -> Iterator[str]:
    foreign = next((step for step in steps if step.method != _PACKED), None)
    if foreign is not None:
        yield f"--format compressed-tensors stores what {_PACKED} quantizes, not '{foreign}'; choose --format dense"
    schemes = {(step.level, load_method(step.method).declaration.values(step).get("group_size")) for step in steps}
    if len(schemes) > 1:
        yield (
            "--format compressed-tensors is written with one number of bits and one group size in all layers; "
            "choose one, or --format dense"
        )
    for step in steps:
        chosen = {matrix.parameter for matrix in step.scope.select(matrices)}
        left = next((m for m in matrices if m.parameter in chosen and not step.scope.selects(m)), None)
        if left is not None:
            yield (
                f"--format compressed-tensors stores whole layers, and '{step}' quantizes a part of {left.parameter}; "
                "choose a scope that has all of it, or --format dense"
            )
            return


def quantizing(recipe: Recipe) -> list[Step]:
    """Return the steps that leave integers with scales."""
    return [step for step in recipe.steps if _effect(step) == "quantizes"]


def _effect(step: Step) -> str:
    return load_method(step.method).declaration.effect

"""The formats that a compressed checkpoint may be stored in, and what each can hold."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from transformers import PreTrainedModel

from forgetmeter.checkpoints.pack_quantized import PackQuantizedStorage
from forgetmeter.checkpoints.request import Request
from forgetmeter.checkpoints.sparse_bitmask import SparseBitmaskStorage
from forgetmeter.checkpoints.storage import DenseStorage, Storage
from forgetmeter.compression.table import load_method
from forgetmeter.compression.untying import stays_tied
from forgetmeter.models.weight_map import weight_map
from forgetmeter.specs.recipe import Recipe, Step
from forgetmeter.specs.role import Matrix

_PACKED = "round_to_nearest"
# transformers initializes T5's layers by name (``module.wi.weight``) after it has put packed layers in their place.
_LOOKED_AT_WHILE_LOADING = ("t5", "mt5", "umt5", "longt5", "switch_transformers")


def storage_for(request: Request) -> Storage:
    """Return what stores the tensors of a request that was checked."""
    if request.format == "dense":
        return DenseStorage()
    return PackQuantizedStorage() if _quantizing(request.recipe) else SparseBitmaskStorage()


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
    steps = _quantizing(request.recipe)
    if not steps and not any(_effect(step) == "zeroes" for step in request.recipe.steps):
        yield (
            f"--format compressed-tensors stores zeros and weights of few bits in less, and '{request.recipe}' makes "
            "neither; choose --format dense"
        )
    selected = [
        matrix for matrix in matrices if any(step.scope.selects(matrix) for step in steps or request.recipe.steps)
    ]
    other = next((matrix for matrix in selected if matrix.form != "linear"), None)
    if other is not None:
        yield (
            f"--format compressed-tensors knows linear layers only, and {other.parameter} is none "
            f"(a {'Conv1D' if other.form == 'conv1d' else 'tensor of experts'}); choose --format dense"
        )
    yield from _quantization_problems(steps, matrices)


def _reader_problems(request: Request, model: PreTrainedModel, matrices: Sequence[Matrix]) -> Iterator[str]:
    """Refuse what transformers cannot load again: it looks for plain weights where there are none."""
    if model.config.model_type in _LOOKED_AT_WHILE_LOADING:
        yield (
            "--format compressed-tensors cannot be loaded by transformers for models of type "
            f"{model.config.model_type}, whose weights it looks at before they are unpacked; choose --format dense"
        )
    for matrix in matrices:
        if matrix.tied_to is not None and request.recipe.selects(matrix) and stays_tied(model, matrix):
            yield (
                f"--format compressed-tensors cannot hold {matrix.parameter}: the configuration goes on tying it, as "
                "it ties other weights too, and transformers looks for a plain tensor then; choose --format dense"
            )


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


def _quantizing(recipe: Recipe) -> list[Step]:
    return [step for step in recipe.steps if _effect(step) == "quantizes"]


def _effect(step: Step) -> str:
    return load_method(step.method).declaration.effect

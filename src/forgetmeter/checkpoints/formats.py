"""Storage formats of compressed checkpoints and their limits."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from copy import deepcopy
from math import lcm

import torch
from torch import nn
from transformers import PreTrainedModel

from forgetmeter.basics.plural import joined, listed
from forgetmeter.checkpoints.request import CompressionRequest
from forgetmeter.checkpoints.storage import PACKED, WORD_BITS, DenseStorage, Storage
from forgetmeter.compression.applying.recipe_problems import scope_by_name
from forgetmeter.compression.registry import load_method, packing_methods
from forgetmeter.compression.surgery.untying import stays_tied
from forgetmeter.models.roles.weight_map import weight_map
from forgetmeter.models.unpacking.gptq import GPTQ_BITS
from forgetmeter.specs.method import Packing
from forgetmeter.specs.recipe import Recipe, Step
from forgetmeter.specs.role import Matrix

_READERS = {"compressed-tensors": "compressed-tensors", "gptq": "GPTQModel"}


def storage_for(request: CompressionRequest, matrices: Sequence[Matrix]) -> Storage:
    """Return the storage for a checked request; ``matrices`` is the model's ``weight_map``."""
    if request.format == "dense":
        return DenseStorage()
    found = ((step, packing_of(step)) for step in quantizing(request.recipe))
    steps = [(step, packing) for step, packing in found if packing is not None]
    return PACKED[request.format](
        steps, {matrix.parameter for step, _ in steps for matrix in step.scope.select(matrices)}
    )


def format_problems(request: CompressionRequest, model: PreTrainedModel) -> Iterator[str]:
    """Yield one sentence per reason why a recipe's result cannot be stored in the requested format."""
    if request.format == "dense":
        return
    matrices, option = weight_map(model), f"--format {request.format}"
    yield from _reader_problems(request, model, matrices)
    steps = quantizing(request.recipe)
    if not steps:
        zeroes = any(load_method(step.method).declaration.effect == "zeroes" for step in request.recipe.steps)
        why = f" (current releases of {_READERS[request.format]} do not compress zeros)" if zeroes else ""
        yield f"{option} stores low-bit weights, and '{request.recipe}' produces none{why}; choose --format dense"
    for step in steps:
        selected = step.scope.select(matrices)
        others = dict.fromkeys(matrix.parameter for matrix in selected if matrix.form != "linear")
        if others:
            # transformers cannot load a model whose embedding is packed.
            by_name = scope_by_name(step.scope, [each for each in selected if each.parameter not in others], matrices)
            them = "it" if len(others) == 1 else "them"
            are = "is not the weight of a linear layer" if len(others) == 1 else "are not weights of linear layers"
            yield (
                f"{option} supports linear layers only, and {listed(list(others), 1)} {are}; choose "
                f"--format dense, or {by_name or f'a scope without {them}'}"
            )
    problem = _quantization_problem(request, steps, matrices)
    if problem is None and steps and request.format == "gptq":
        problem = _gptq_problem(request, steps, matrices, model)
    if problem is not None:
        yield problem


def kernel_problems(recipe: Recipe) -> Iterator[tuple[str, str]]:
    """Yield one sentence per step whose kernel a checkpoint cannot store, with an alternative."""
    for step in recipe.steps:
        if load_method(step.method).declaration.needs_kernel:
            yield (
                f"'{step}' needs its own kernel, and a checkpoint holds only weights: it would load as a different "
                "model from the one measured",
                f"for low-bit weights choose round_to_nearest:{step.scope}:8",
            )


def _reader_problems(request: CompressionRequest, model: PreTrainedModel, matrices: Sequence[Matrix]) -> Iterator[str]:
    """Report models that transformers cannot load again because it expects plain weights."""
    packed = {
        matrix.parameter: model.get_submodule(matrix.parameter.rpartition(".")[0])
        for matrix in matrices
        if matrix.form == "linear" and any(step.scope.selects(matrix) for step in quantizing(request.recipe))
    }
    own = next((name for name, module in packed.items() if type(module) is not nn.Linear), None)
    if own is not None or (packed and not _can_be_without_weights(model, packed)):
        yield (
            f"--format {request.format} is not supported for models of type {model.config.model_type}: their code "
            "in transformers accesses weights that would be packed; choose --format dense"
        )
    for matrix in matrices:
        if matrix.tied_to is not None and request.recipe.selects(matrix) and stays_tied(model, matrix):
            yield (
                f"--format {request.format} cannot hold {matrix.parameter}: the configuration also ties other "
                "weights, so it keeps tying, and transformers expects a plain tensor; choose --format dense"
            )


def _can_be_without_weights(model: PreTrainedModel, packed: Iterable[str]) -> bool:
    """Whether a model initializes without the weights of some layers; tried on a weightless copy."""
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


def _quantization_problem(request: CompressionRequest, steps: Sequence[Step], matrices: Sequence[Matrix]) -> str | None:
    """Return why no packed layout, or not compressed-tensors', can hold what a step quantizes; ``None`` if it can."""
    option = f"--format {request.format}"
    for step in steps:
        packing = packing_of(step)
        if packing is None:
            methods = list(packing_methods())
            supported = "other options" if step.method in methods else joined(methods)
            return f"{option} supports {supported} only, not '{step}'; choose --format dense"
        if request.format == "compressed-tensors" and (packing.has_zero_points or packing.is_ordered):
            what = "groups of input units that are not neighbours" if packing.is_ordered else "zero points"
            return f"{option} cannot store '{step}', which has {what}; choose --format gptq or --format dense"
    for step in steps:
        chosen = {matrix.parameter for matrix in step.scope.select(matrices)}
        left = next((m for m in matrices if m.parameter in chosen and not step.scope.selects(m)), None)
        if left is not None:
            return (
                f"{option} stores whole layers, and '{step}' quantizes only part of "
                f"{left.parameter}; choose a scope with all of it, or --format dense"
            )
    return None


def _gptq_problem(
    request: CompressionRequest, steps: Sequence[Step], matrices: Sequence[Matrix], model: PreTrainedModel
) -> str | None:
    """Return why GPTQ's layout, which has one setting for all linear layers of the blocks, cannot hold a result."""
    packing, *others = {packing for step in steps if (packing := packing_of(step)) is not None}
    is_plain = not any(each.has_zero_points or each.is_ordered for each in (packing, *others))
    instead = f"--format {'compressed-tensors' if is_plain else 'dense'}"
    if others:
        return (
            "--format gptq needs the same bits, group size and zero points in all layers, and "
            f"'{request.recipe}' mixes several; choose {instead}"
        )
    if packing.bits not in GPTQ_BITS:
        return f"--format gptq stores {joined(map(str, GPTQ_BITS))} bits, not {packing.bits}; choose {instead}"
    chosen = [matrix for matrix in matrices if any(step.scope.selects(matrix) for step in steps)]
    outside = next((matrix.parameter for matrix in chosen if matrix.block is None), None)
    if outside is not None:
        return f"--format gptq stores layers of blocks, and {outside} is not part of any; choose the scope overall"
    together = lcm(WORD_BITS, packing.bits) // packing.bits
    packed = {matrix.parameter: list(model.get_parameter(matrix.parameter).shape) for matrix in chosen}
    uneven = next((name for name, shape in packed.items() if any(size % together for size in shape)), None)
    if uneven is not None:
        return (
            f"--format gptq stores {together} weights together, and not every dimension of {uneven}, "
            f"{packed[uneven]}, is a multiple of that; choose {instead}"
        )
    blocks = tuple(f"{path}." for path in {matrix.block[0] for matrix in matrices if matrix.block})
    inside = (name for name, module in model.named_modules() if type(module) is nn.Linear and name.startswith(blocks))
    left = next((name for name in inside if f"{name}.weight" not in packed), None)
    if left is not None:
        return (
            "readers of --format gptq expect all linear layers of the blocks to be quantized, and "
            f"'{request.recipe}' leaves {left} as it is; choose the scope overall, or {instead}"
        )
    return None


def quantizing(recipe: Recipe) -> list[Step]:
    """Return the steps that quantize weights."""
    return [step for step in recipe.steps if load_method(step.method).declaration.effect == "quantizes"]


def packing_of(step: Step) -> Packing | None:
    """Return the layout of a step's integers; ``None`` if they cannot be packed."""
    return load_method(step.method).declaration.packing(step)

"""Puts weights into a model, and takes them out again."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager

from torch import nn
from transformers import PreTrainedModel

from forgetmeter.compression.dynamic_int8 import DynamicInt8Linear, Int8Weight
from forgetmeter.compression.weight import DenseWeight, Weight
from forgetmeter.specs.role import Matrix

Undo = Callable[[], None]


def install(model: PreTrainedModel, weights: Mapping[Matrix, Weight]) -> Undo:
    """Put weights in the place of the model's own, which stay whole for the undoing.

    Quantized weights bring their own module. All others become a new parameter without gradient; forms that
    have no module of their own are installed as plain values, in the dtype of the parameter they replace. A
    tied head that is installed is a matrix of its own until it is taken out; the input embedding never
    changes.

    Args:
        model: The model to change.
        weights: What to install, by matrix of ``weight_map(model)``. Not copied.

    Returns:
        A function that puts everything back as it was, ties included. Whatever was installed later must be
        taken out first. If installing fails, everything is put back before the error goes on.
    """
    with ExitStack() as undoing:
        for matrix, weight in weights.items():
            if isinstance(weight, Int8Weight):
                undoing.callback(_replace_module(model, matrix, weight))
            else:
                undoing.callback(_replace_parameter(model, matrix, weight))
            if matrix.tied_to is not None:
                undoing.callback(_declare_untied(model, matrix))
        return undoing.pop_all().close
    raise AssertionError("unreachable: the block above returns or raises")


@contextmanager
def installed(model: PreTrainedModel, weights: Mapping[Matrix, Weight]) -> Iterator[None]:
    """Have weights in the model for the length of a ``with`` block."""
    undo = install(model, weights)
    try:
        yield
    finally:
        undo()


def _replace_parameter(model: PreTrainedModel, matrix: Matrix, weight: Weight) -> Undo:
    module = model.get_submodule(matrix.module)
    name = matrix.parameter.rpartition(".")[2]
    old = module.get_parameter(name)
    values = weight.values() if isinstance(weight, DenseWeight) else weight.values().to(old.dtype)
    if values.shape != old.shape:
        shapes = f"shape {tuple(old.shape)}, the new weights {tuple(values.shape)}"
        raise ValueError(f"{matrix.parameter} has {shapes}")
    setattr(module, name, nn.Parameter(values, requires_grad=False))
    return lambda: setattr(module, name, old)


def _replace_module(model: PreTrainedModel, matrix: Matrix, weight: Int8Weight) -> Undo:
    parent_name, _, name = matrix.module.rpartition(".")
    parent = model.get_submodule(parent_name)
    old = parent.get_submodule(name)
    if not isinstance(old, nn.Linear):
        raise TypeError(f"{matrix.module} is a {type(old).__name__}; int8 weights replace nn.Linear only")
    new = DynamicInt8Linear(weight, old.bias)
    setattr(parent, name, new.train(old.training))
    return lambda: setattr(parent, name, old)


def _declare_untied(model: PreTrainedModel, matrix: Matrix) -> Undo:
    """Have the model know that the head is no longer the embedding: saving and reloading then keeps both."""
    configs = {id(config): config for config in (model.config, model.config.get_text_config(decoder=True))}
    before = [(config, getattr(config, "tie_word_embeddings", None)) for config in configs.values()]
    ties = getattr(model, "all_tied_weights_keys", {})
    ties_before = dict(ties)
    for config in configs.values():
        config.tie_word_embeddings = False
    ties.pop(matrix.parameter, None)

    def undo() -> None:
        for config, tied in before:
            config.tie_word_embeddings = tied
        ties.clear()
        ties.update(ties_before)

    return undo

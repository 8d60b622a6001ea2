"""Which tensors a compressed checkpoint has, and under which names."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from transformers import PreTrainedModel

from forgetmeter.checkpoints.source import StoredModel
from forgetmeter.compression.block_dropping import drop_blocks
from forgetmeter.compression.drop_layers import DropLayers
from forgetmeter.compression.dropped_weight import block_of, is_dropped
from forgetmeter.compression.step import prepared, selected_units
from forgetmeter.compression.table import load_method
from forgetmeter.compression.unit_method import Block
from forgetmeter.compression.untying import declare_untied
from forgetmeter.compression.weight import Weight
from forgetmeter.specs.recipe import Recipe
from forgetmeter.specs.role import Matrix

_BLOCK_NUMBER = re.compile(r"(?:^|(?<=\.))\d+(?=\.)")


@dataclass(frozen=True)
class Output:
    """A tensor of the compressed checkpoint.

    Attributes:
        parameter: The name that the model has for it, before blocks are dropped.
        name: Its name in the files of plain tensors: the source's, so that it is read as the source's is.
        name_after: The name that the model which is left has for it.
    """

    parameter: str
    name: str
    name_after: str


def plan_outputs(stored: StoredModel, model: PreTrainedModel, recipe: Recipe) -> dict[str, Output]:
    """Say which tensors there will be, and change the model without weights to the one they belong to.

    Dropped blocks are taken out and the others numbered anew, and a tied head that the recipe compresses is untied;
    the model's configuration says so afterwards.

    Args:
        stored: The model as it is on the disk.
        model: The model without its weights.
        recipe: What will be done.

    Returns:
        The tensors by ``Output.parameter``, in the order of the source.

    Raises:
        UserError: A step would find that the steps before dropped all that it selects.
    """
    before = model.state_dict(keep_vars=True)
    heads = [matrix for matrix in stored.matrices if matrix.role.component == "head" and recipe.selects(matrix)]
    for head in heads:
        if head.tied_to is not None or head.parameter in model.all_tied_weights_keys:
            declare_untied(model, head)
    blocks = dropped_blocks(recipe, stored.husks())
    if blocks:
        drop_blocks(model, blocks)
    after = model.state_dict(keep_vars=True)
    names_after = {id(tensor): name for name, tensor in after.items()}
    outputs: dict[str, Output] = {}
    for key, entry in stored.source.entries.items():
        tensor = before[key]
        name_after = key if after.get(key) is tensor else names_after.get(id(tensor))
        if name_after is not None:
            outputs[key] = Output(key, _renumbered(entry.name, name_after), name_after)
    for head in heads:
        for name in (head.parameter, head.tied_to):
            if name is not None and name not in outputs:
                outputs[name] = Output(name, name, name)
    return outputs


def dropped_blocks(recipe: Recipe, husks: Mapping[Matrix, Weight]) -> set[Block]:
    """Return the blocks that a recipe drops, by position: that can be known without the weights.

    Args:
        recipe: What will be done.
        husks: The model's weights, without values.

    Raises:
        UserError: A step would find that the steps before dropped all that it selects.
    """
    dropped = dict[Matrix, Weight]()
    for step in recipe.steps:
        units = selected_units(step, husks, dropped)
        if isinstance(load_method(step.method), DropLayers):
            results = zip(units, prepared(step, units, seed=0)(step.level), strict=True)
            for unit, weight in results:
                dropped.update(unit.apart(weight) if is_dropped(weight) else {})
    return {block for matrix in dropped if (block := block_of(matrix)) is not None}


def _renumbered(stored_name: str, name_after: str) -> str:
    """Return the name of a tensor in the checkpoint, with the number that its block has now."""
    number = _BLOCK_NUMBER.search(name_after)
    return stored_name if number is None else _BLOCK_NUMBER.sub(number[0], stored_name, count=1)

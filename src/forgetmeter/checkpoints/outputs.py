"""The tensors of a compressed checkpoint and their names."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass, replace

from transformers import PreTrainedModel

from forgetmeter.checkpoints.source import StoredModel
from forgetmeter.compression.applying.step import dropped_blocks, own_weights
from forgetmeter.compression.surgery.block_dropping import drop_blocks
from forgetmeter.compression.surgery.untying import declare_untied
from forgetmeter.specs.recipe import Recipe
from forgetmeter.specs.role import Block

_BLOCK_NUMBER = re.compile(r"(?:^|(?<=\.))\d+(?=\.)")


@dataclass(frozen=True)
class Output:
    """A tensor of the compressed checkpoint.

    Attributes:
        parameter: Its name in the original model, before blocks are dropped.
        name: Its name in files of plain tensors: as in the source, so that it loads the same way.
        name_after: Its name in the compressed model.
    """

    parameter: str
    name: str
    name_after: str


def plan_outputs(
    stored: StoredModel, model: PreTrainedModel, recipe: Recipe, *, dropped: Collection[Block] | None = None
) -> dict[str, Output]:
    """Plan the output tensors, and change the weightless model to match them.

    Dropped blocks are removed and the others renumbered, and a tied head that the recipe compresses is untied; the
    model's configuration is updated.

    Args:
        dropped: The blocks that the recipe drops. If they are not known yet, as activations choose them, the last ones.

    Returns:
        The tensors by ``Output.parameter``, in the order of the source.

    Raises:
        UserError: Earlier steps drop everything that a step selects.
    """
    before = model.state_dict(keep_vars=True)
    heads = [matrix for matrix in stored.matrices if matrix.role.component == "head" and recipe.selects(matrix)]
    for head in heads:
        if head.tied_to is not None or head.parameter in model.all_tied_weights_keys:
            declare_untied(model, head)
    blocks = dropped_blocks(recipe, own_weights(model, stored.matrices)) if dropped is None else dropped
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
    # A tied embedding may be stored under any of its names.
    own = {head.parameter for head in heads}
    changed = {matrix.parameter for matrix in stored.matrices if recipe.selects(matrix)} - outputs.keys() - own
    name_of = {stored.keys[name]: name for name in changed if stored.keys[name] not in own}
    found = (replace(output, parameter=name_of.get(key, key)) for key, output in outputs.items())
    outputs = {output.parameter: output for output in found}
    for head in heads:
        for name in (head.parameter, head.tied_to):
            if name is not None and name not in outputs:
                outputs[name] = Output(name, name, name)
    return outputs


def _renumbered(stored_name: str, name_after: str) -> str:
    number = _BLOCK_NUMBER.search(name_after)
    return stored_name if number is None else _BLOCK_NUMBER.sub(number[0], stored_name, count=1)

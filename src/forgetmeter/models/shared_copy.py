"""Copies of a model that share its tensors."""

from __future__ import annotations

import copy
from itertools import chain

from transformers import PreTrainedModel


def shared_copy(model: PreTrainedModel) -> PreTrainedModel:
    """Return a copy of a model whose parameters and buffers are the model's own tensors.

    Parameters, layers and blocks that are replaced in the model afterwards stay the original ones in the copy.
    """
    tensors = chain(model.parameters(), model.buffers())
    twin: PreTrainedModel = copy.deepcopy(model, {id(tensor): tensor for tensor in tensors})
    return twin

"""A model whose weights stay on the disk."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor
from transformers import PreTrainedModel

from forgetmeter.checkpoints.source import Source
from forgetmeter.compression.forms.deferred_weight import DeferredWeight
from forgetmeter.compression.forms.weight import DenseWeight, Weight, by_matrix
from forgetmeter.models.weight_map import weight_map
from forgetmeter.specs.role import Matrix


@dataclass(frozen=True)
class StoredModel:
    """A model whose weights stay on the disk.

    Attributes:
        source: Its checkpoint.
        matrices: Its weight matrices.
        keys: For each name that the model has for a tensor, the one under which the checkpoint has it; of tied
            tensors, it may have any.
        total_bytes: All its parameters and stored buffers, each storage once.
        name: What to call it in errors.
    """

    source: Source
    matrices: tuple[Matrix, ...]
    keys: Mapping[str, str]
    total_bytes: int
    name: str

    def read(self, parameter: str) -> Tensor:
        """Read a tensor."""
        return self.source.read(self.keys[parameter])

    def husk(self, parameter: str) -> Tensor:
        """Return a tensor of the same shape and dtype on the ``meta`` device."""
        entry = self.source.entries[self.keys[parameter]]
        return torch.empty(entry.stored.shape, dtype=entry.dtype, device="meta")

    def bytes(self, parameter: str) -> int:
        """Return how many bytes a tensor takes once it is read."""
        return self.source.entries[self.keys[parameter]].bytes

    def originals(self) -> dict[Matrix, Weight]:
        """Return the model's own weights, which are read when they are looked at."""
        names = dict.fromkeys(matrix.parameter for matrix in self.matrices)
        return by_matrix(self.matrices, {name: self._deferred(name) for name in names})

    def husks(self) -> dict[Matrix, Weight]:
        """Return the same without values, for what depends on shapes alone."""
        names = dict.fromkeys(matrix.parameter for matrix in self.matrices)
        return by_matrix(self.matrices, {name: DenseWeight(self.husk(name)) for name in names})

    def _deferred(self, parameter: str) -> Weight:
        return DeferredWeight(DenseWeight(self.husk(parameter)), lambda: DenseWeight(self.read(parameter)))


def stored_model(model: PreTrainedModel, source: Source, name: str) -> StoredModel:
    """Find each of the model's tensors in its checkpoint.

    Args:
        model: The model without its weights.
        source: Its checkpoint.
        name: What to call it in errors.
    """
    tensors = model.state_dict(keep_vars=True)
    stored = {id(tensors[key]): key for key in source.entries}
    keys = {
        key: key if key in source.entries else stored[id(tensor)]
        for key, tensor in tensors.items()
        if id(tensor) in stored
    }
    total_bytes = sum(source.entries[key].bytes for key in stored.values())
    return StoredModel(source, weight_map(model), keys, total_bytes, name)

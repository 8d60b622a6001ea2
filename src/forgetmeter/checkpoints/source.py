"""A checkpoint that is read a tensor at a time: its tensors by the model's names, and the model they make."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor
from transformers import PreTrainedModel

from forgetmeter.checkpoints.safetensors_file import StoredTensor, stored_tensor
from forgetmeter.compression.forms.deferred_weight import DeferredWeight
from forgetmeter.compression.forms.weight import DenseWeight, Weight, by_matrix
from forgetmeter.models.checkpoint import Checkpoint
from forgetmeter.models.stored_weights import name_in, refuse_overflow
from forgetmeter.models.weight_map import weight_map
from forgetmeter.specs.role import Matrix


@dataclass(frozen=True)
class Entry:
    """A tensor of the checkpoint that the model has a place for.

    Attributes:
        name: Its name in the checkpoint.
        stored: Where it is.
        dtype: The dtype it is read in.
    """

    name: str
    stored: StoredTensor
    dtype: torch.dtype

    def read(self) -> Tensor:
        """Read it.

        Raises:
            UserError: A value is beyond the range of the dtype.
        """
        values = self.stored.read()
        if values.dtype == self.dtype:
            return values
        cast = values.to(self.dtype)
        refuse_overflow(self.name, cast, values)
        return cast

    @property
    def bytes(self) -> int:
        """How many bytes it takes once it is read."""
        return math.prod(self.stored.shape) * int(self.dtype.itemsize)


@dataclass(frozen=True)
class Source:
    """A checkpoint, by the names that its model has for the tensors.

    Attributes:
        checkpoint: Where it is, and the model without its weights.
        entries: Its tensors by the model's names, in the order of the files.
        unused: Names of tensors that the model has no place for; ``from_pretrained`` leaves them out, too.
        converted: Names of tensors that transformers puts together, takes apart or turns as it loads them; only
            in a model in memory is it known what they are.
    """

    checkpoint: Checkpoint
    entries: Mapping[str, Entry]
    unused: tuple[str, ...]
    converted: tuple[str, ...]
    _last: dict[str, Tensor] = field(default_factory=dict, repr=False)

    def read(self, parameter: str) -> Tensor:
        """Read a tensor; that which was read last is kept, as it is often looked at several times in a row."""
        if parameter not in self._last:
            self._last.clear()
            self._last[parameter] = self.entries[parameter].read()
        return self._last[parameter]

    @property
    def bytes(self) -> int:
        """How many bytes its files take."""
        return sum(file.stat().st_size for file in self.checkpoint.files)


def open_source(checkpoint: Checkpoint, dtype: torch.dtype | None = None) -> Source:
    """Look at which tensors there are; only headers are read.

    Args:
        checkpoint: The checkpoint.
        dtype: What floating-point tensors are cast to as they are read, as ``from_pretrained`` casts them.

    Raises:
        UserError: A tensor is of a dtype that is not known here.
    """
    model, files = checkpoint.skeleton, checkpoint.files
    name_of, places = name_in(model), model.state_dict()
    entries: dict[str, Entry] = {}
    unused, converted = [], []
    for header in sorted(checkpoint.headers, key=lambda header: (files.index(header.file), header.offset)):
        key, stored = name_of(header.name), stored_tensor(header)
        if key is None:
            converted.append(header.name)
        elif key in places:
            entries[key] = Entry(header.name, stored, _dtype(model, key, stored, dtype))
        else:
            unused.append(header.name)
    return Source(checkpoint, entries, tuple(unused), tuple(converted))


def _dtype(model: PreTrainedModel, key: str, stored: StoredTensor, dtype: torch.dtype | None) -> torch.dtype:
    if dtype is None or not stored.dtype.is_floating_point:
        return stored.dtype
    kept = set(model._keep_in_fp32_modules_strict or ()) if dtype != torch.float32 else set()
    if dtype == torch.float16:
        kept |= set(model._keep_in_fp32_modules or ())
    return torch.float32 if kept & set(key.split(".")) else dtype


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

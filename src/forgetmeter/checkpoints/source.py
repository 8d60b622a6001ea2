"""A checkpoint read one tensor at a time, under the model's tensor names."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor
from transformers import PreTrainedModel

from forgetmeter.compression.forms.deferred_weight import DeferredWeight
from forgetmeter.compression.forms.weight import DenseWeight, Weight, by_matrix
from forgetmeter.models.checkpoint import Checkpoint
from forgetmeter.models.files.safetensors_file import StoredTensor, stored_tensor
from forgetmeter.models.on_disk.stored_weights import name_in, refuse_overflow
from forgetmeter.models.roles.weight_map import shared_parameters, weight_map
from forgetmeter.specs.role import Matrix


@dataclass(frozen=True)
class Entry:
    """A tensor of the checkpoint that the model uses.

    Attributes:
        name: Its name in the checkpoint.
        stored: Its location on disk.
        dtype: The dtype it is read in.
    """

    name: str
    stored: StoredTensor
    dtype: torch.dtype

    def read(self) -> Tensor:
        """Read the tensor.

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
        """Its bytes in memory."""
        return math.prod(self.stored.shape) * int(self.dtype.itemsize)


@dataclass(frozen=True)
class Source:
    """A checkpoint's tensors under the model's names.

    Attributes:
        checkpoint: Its location, and the model without its weights.
        entries: Its tensors by the model's names, in the order of the files.
        unused: Names of tensors that the model does not use; ``from_pretrained`` ignores them too.
        converted: Names of tensors that transformers merges, splits or transposes while loading, so that their values
            in the model are known only once it is loaded.
    """

    checkpoint: Checkpoint
    entries: Mapping[str, Entry]
    unused: tuple[str, ...]
    converted: tuple[str, ...]
    _last: dict[str, Tensor] = field(default_factory=dict, repr=False)

    def read(self, parameter: str) -> Tensor:
        """Read a tensor; the last one is cached, since it is often read several times in a row."""
        if parameter not in self._last:
            self._last.clear()
            self._last[parameter] = self.entries[parameter].read()
        return self._last[parameter]

    @property
    def bytes(self) -> int:
        """Total size of its files in bytes."""
        return sum(file.stat().st_size for file in self.checkpoint.files)


def open_source(checkpoint: Checkpoint, dtype: torch.dtype | None = None) -> Source:
    """List a checkpoint's tensors, to be cast to ``dtype`` as ``from_pretrained`` does; only headers are read.

    Raises:
        UserError: The dtype of a tensor is not supported.
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
    weights = {matrix.parameter for matrix in checkpoint.matrices if matrix.tied_to is None}
    for first, *others in shared_parameters(model).values():
        if first in weights & entries.keys():
            # Layers share it, and the file has a copy for each: the others would keep their old values.
            for name in others:
                entries.pop(name, None)
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
    """A model whose weights stay on disk.

    Attributes:
        source: Its checkpoint.
        matrices: Its weight matrices.
        keys: Maps each of the model's tensor names to a key of ``source.entries``, which may be any of several tied
            names.
        total_bytes: Bytes of all parameters and stored buffers; shared tensors count once.
        name: Its name in errors.
    """

    source: Source
    matrices: tuple[Matrix, ...]
    keys: Mapping[str, str]
    total_bytes: int
    name: str

    def read(self, parameter: str) -> Tensor:
        """Read a tensor."""
        return self.source.read(self.keys[parameter])

    def meta_tensor(self, parameter: str) -> Tensor:
        """Return a tensor of the same shape and dtype on the ``meta`` device."""
        entry = self.source.entries[self.keys[parameter]]
        return torch.empty(entry.stored.shape, dtype=entry.dtype, device="meta")

    def bytes(self, parameter: str) -> int:
        """Return a tensor's bytes in memory."""
        return self.source.entries[self.keys[parameter]].bytes

    def originals(self, dtype: torch.dtype | None = None) -> dict[Matrix, Weight]:
        """Return the model's own weights, loaded lazily, in a dtype or their own."""
        names = dict.fromkeys(matrix.parameter for matrix in self.matrices)
        return by_matrix(self.matrices, {name: self._deferred(name, dtype) for name in names})

    def _deferred(self, parameter: str, dtype: torch.dtype | None) -> Weight:
        meta = self.meta_tensor(parameter)
        kept = meta.dtype if dtype is None else dtype
        return DeferredWeight(DenseWeight(meta.to(kept)), lambda: DenseWeight(self.read(parameter).to(kept)))


def stored_model(model: PreTrainedModel, source: Source, name: str) -> StoredModel:
    """Find each of the model's tensors in its checkpoint."""
    tensors = model.state_dict(keep_vars=True)
    stored = {id(tensors[key]): key for key in source.entries}
    keys = {
        key: key if key in source.entries else stored[id(tensor)]
        for key, tensor in tensors.items()
        if id(tensor) in stored
    }
    total_bytes = sum(source.entries[key].bytes for key in stored.values())
    return StoredModel(source, weight_map(model), keys, total_bytes, name)

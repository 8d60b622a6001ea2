"""Temporary storage on disk for the results of intermediate steps."""

from __future__ import annotations

import ctypes
from contextlib import suppress
from pathlib import Path
from types import TracebackType

from torch import Tensor

from forgetmeter.compression.forms.deferred_weight import DeferredWeight, with_tensors
from forgetmeter.compression.forms.weight import Weight
from forgetmeter.models.files.safetensors_file import StoredTensor, write_tensor

_TRIMMED_EVERY = 32_000_000
_ALIGNMENT = 64


class FreedMemory:
    """Makes the C library return freed memory to the system from time to time.

    glibc keeps freed blocks of up to 32 MB. With tensors of many sizes, these would add up to a large part of the
    checkpoint.
    """

    def __init__(self) -> None:
        self._bytes = 0

    def record(self, size: int) -> None:
        """Record ``size`` bytes of tensors that were allocated and freed."""
        self._bytes += size
        if self._bytes > _TRIMMED_EVERY:
            self._bytes = 0
            # Other C libraries lack this function and do not need it.
            with suppress(AttributeError, OSError, TypeError):
                ctypes.CDLL(None).malloc_trim(0)


class Scratch:
    """A temporary file of weights that are read back on access; removed at the end."""

    def __init__(self, path: Path) -> None:
        """Create the file, which must not exist."""
        self._path = path
        self._stream = path.open("xb", buffering=0)
        self._mapped: set[int] = set()
        self._freed = FreedMemory()

    def __enter__(self) -> Scratch:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stream.close()
        self._path.unlink(missing_ok=True)

    def kept(self, weight: Weight) -> Weight:
        """Write a weight to disk, and return it as a deferred weight.

        Raises:
            OSError: The disk is full or fails.
        """
        if weight.is_deferred or weight.is_dropped:
            return weight
        places: list[StoredTensor] = []

        def keep(tensor: Tensor) -> Tensor:
            if tensor.numel() == 1:
                # Scales are compared without loading weights.
                return tensor
            places.append(self._keep(tensor))
            return tensor.detach().to("meta")

        meta = with_tensors(weight, keep)

        def load() -> Weight:
            left = iter(places)
            return with_tensors(meta, lambda held: next(left).read() if held.is_meta else held)

        return DeferredWeight(meta, load)

    def mapped(self, weight: Weight) -> Weight:
        """Write a weight to disk, and return it with tensors that are parts of the file.

        They are used as if they were in memory, and the system may drop them from it.

        Raises:
            OSError: The disk is full or fails.
        """
        return with_tensors(weight, self._map)

    def _map(self, tensor: Tensor) -> Tensor:
        if tensor.numel() <= 1 or tensor.untyped_storage().data_ptr() in self._mapped:
            return tensor
        mapped = self._keep(tensor).mapped()
        self._mapped.add(mapped.untyped_storage().data_ptr())
        self._freed.record(tensor.nbytes)
        return mapped

    def _keep(self, tensor: Tensor) -> StoredTensor:
        # Readers need tensors at multiples of their width.
        self._stream.seek(-(-self._stream.tell() // _ALIGNMENT) * _ALIGNMENT)
        place = StoredTensor(self._path, tensor.dtype, tuple(tensor.shape), self._stream.tell())
        write_tensor(self._stream, tensor)
        return place

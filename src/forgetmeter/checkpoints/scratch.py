"""Temporary storage on disk for the results of intermediate steps."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType

from torch import Tensor

from forgetmeter.compression.forms.deferred_weight import DeferredWeight, with_tensors
from forgetmeter.compression.forms.weight import Weight
from forgetmeter.models.files.safetensors_file import StoredTensor, write_tensor


class Scratch:
    """A temporary file of weights that are read back on access; removed at the end."""

    def __init__(self, path: Path) -> None:
        """Create the file, which must not exist."""
        self._path = path
        self._stream = path.open("xb", buffering=0)

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

    def _keep(self, tensor: Tensor) -> StoredTensor:
        place = StoredTensor(self._path, tensor.dtype, tuple(tensor.shape), self._stream.tell())
        write_tensor(self._stream, tensor)
        return place

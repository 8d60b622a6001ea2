"""Safetensors files, a tensor at a time.

The safetensors library maps a whole file into memory to read it, and wants all of a file's tensors to write one.
The format (github.com/huggingface/safetensors, "Format") is 8 bytes with the length of a header, little-endian; the
header, JSON that may end in spaces, with dtype, shape and place of each tensor; and the tensors without gaps.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from dataclasses import dataclass
from io import FileIO
from pathlib import Path
from types import TracebackType
from typing import Any

import torch
from torch import Tensor

from forgetmeter.errors import UserError
from forgetmeter.models.model_files import TensorHeader

_LENGTH_BYTES = 8
_ALIGNMENT = 8
_METADATA = "__metadata__"
# Linux takes writes of this size four times as fast as one write of 100 MB.
_WRITTEN_AT_ONCE = 1 << 20
# Of tensors in language models, and of the bytes in a file; room in headers is kept by them.
_MOST_DIMENSIONS = 4
_LARGEST_DIGITS = 12
_DTYPES = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "I64": torch.int64,
    "I32": torch.int32,
    "I16": torch.int16,
    "I8": torch.int8,
    "U8": torch.uint8,
    "BOOL": torch.bool,
    "F8_E4M3": torch.float8_e4m3fn,
    "F8_E5M2": torch.float8_e5m2,
}
_NAMES = {dtype: name for name, dtype in _DTYPES.items()}


@dataclass(frozen=True)
class StoredTensor:
    """A tensor in a file.

    Attributes:
        path: The file.
        dtype: Its dtype.
        shape: Its shape.
        offset: Where its first byte is in the file.
    """

    path: Path
    dtype: torch.dtype
    shape: tuple[int, ...]
    offset: int

    @property
    def bytes(self) -> int:
        """Its size."""
        return math.prod(self.shape) * int(self.dtype.itemsize)

    def read(self) -> Tensor:
        """Read it into memory of its own, which is free again when the tensor is.

        Raises:
            UserError: The file ends before it.
        """
        tensor = torch.empty(self.shape, dtype=self.dtype)
        view, done = _bytes_of(tensor), 0
        with self.path.open("rb", buffering=0) as stream:
            stream.seek(self.offset)
            while done < len(view):
                read = stream.readinto(view[done:])
                if not read:
                    raise UserError(f"{self.path} ends in the middle of a tensor; fetch it again")
                done += read
        return tensor


def stored_tensor(header: TensorHeader) -> StoredTensor:
    """Return the tensor that a header describes.

    Raises:
        UserError: Its dtype is not known here.
    """
    if header.dtype not in _DTYPES:
        raise UserError(f"{header.file} is damaged, or of a kind not known here ('{header.dtype}'); fetch it again")
    return StoredTensor(header.file, _DTYPES[header.dtype], header.shape, header.offset)


class SafetensorsWriter:
    """Writes a file tensor by tensor, in the order in which they come.

    The header comes first and can only be known at the end, so that room is kept for it. All tensors of a file
    have to be of dtypes of one width: readers refuse tensors that do not start at a multiple of their width.
    """

    def __init__(self, path: Path, *, header_room: int) -> None:
        """Begin a file that is not there yet.

        Args:
            path: The file.
            header_room: The most bytes that its header can take; see ``entry_room``.
        """
        self._start = start_of_tensors(header_room)
        self._entries: dict[str, dict[str, Any]] = {}
        self._end = 0
        self._path = path
        self._stream = path.open("xb", buffering=0)
        self._stream.seek(self._start)

    def __enter__(self) -> SafetensorsWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stream.close()

    @property
    def bytes(self) -> int:
        """How many bytes of tensors were written."""
        return self._end

    @property
    def names(self) -> tuple[str, ...]:
        """The tensors written so far."""
        return tuple(self._entries)

    def append(self, name: str, tensor: Tensor) -> None:
        """Write a tensor.

        Raises:
            OSError: The disk is full, or fails.
        """
        size = write_tensor(self._stream, tensor)
        offsets = [self._end, self._end + size]
        self._entries[name] = {"dtype": _NAMES[tensor.dtype], "shape": list(tensor.shape), "data_offsets": offsets}
        self._end += size

    def finish(self, metadata: Mapping[str, str]) -> None:
        """Write the header, and wait until everything is on the disk.

        Args:
            metadata: What readers are told; transformers wants to know the ``format``.
        """
        header = json.dumps({_METADATA: dict(metadata), **self._entries}, separators=(",", ":")).encode()
        room = self._start - _LENGTH_BYTES
        if len(header) > room:
            raise ValueError(f"the header of {self._path} takes {len(header)} bytes, and {room} were kept for it")
        self._stream.seek(0)
        self._stream.write(room.to_bytes(_LENGTH_BYTES, "little") + header.ljust(room))
        os.fsync(self._stream.fileno())


def start_of_tensors(header_room: int) -> int:
    """Return where in a file its tensors begin, given the most bytes that its header can take."""
    room = _LENGTH_BYTES + header_room
    return room + -room % _ALIGNMENT


def entry_room(name: str) -> int:
    """Return the most bytes that a tensor takes in a header."""
    largest = 10**_LARGEST_DIGITS
    entry = {"dtype": "F8_E4M3", "shape": [largest] * _MOST_DIMENSIONS, "data_offsets": [largest, largest]}
    return len(json.dumps({name: entry}).encode())


def write_tensor(stream: FileIO, tensor: Tensor) -> int:
    """Write a tensor's bytes, row-major, and return how many they are.

    Raises:
        OSError: The disk is full, or fails.
    """
    view, done = _bytes_of(tensor.detach().contiguous()), 0
    while done < len(view):
        done += stream.write(view[done : done + _WRITTEN_AT_ONCE])
    return len(view)


def _bytes_of(tensor: Tensor) -> memoryview:
    """Return the bytes of a contiguous tensor; nothing is copied."""
    return memoryview(tensor.reshape(-1).view(torch.uint8).numpy()) if tensor.numel() else memoryview(b"")

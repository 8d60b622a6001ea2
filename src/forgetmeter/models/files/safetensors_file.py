"""Reads and writes safetensors files one tensor at a time.

The safetensors library maps whole files into memory to read them, and needs all tensors of a file to write one. The
format (github.com/huggingface/safetensors, "Format") is: the header's length in 8 bytes, little-endian; the header,
JSON with each tensor's dtype, shape and offsets, which may be padded with spaces; and the tensors without gaps.
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

import numpy as np
import torch
from torch import Tensor

from forgetmeter.errors import UserError
from forgetmeter.models.files.model_files import TensorHeader

_LENGTH_BYTES = 8
_ALIGNMENT = 8
_METADATA = "__metadata__"
# On Linux, writes of this size are four times as fast as one write of 100 MB.
_WRITTEN_AT_ONCE = 1 << 20
# Limits for tensors of language models and for sizes in bytes, used to reserve room for headers.
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
    "F8_E8M0": torch.float8_e8m0fnu,
}
_NAMES = {dtype: name for name, dtype in _DTYPES.items()}


@dataclass(frozen=True)
class StoredTensor:
    """A tensor in a file.

    Attributes:
        path: The file.
        dtype: Its dtype.
        shape: Its shape.
        offset: Position of its first byte in the file.
    """

    path: Path
    dtype: torch.dtype
    shape: tuple[int, ...]
    offset: int

    @property
    def bytes(self) -> int:
        """Its size in bytes."""
        return math.prod(self.shape) * int(self.dtype.itemsize)

    def read(self) -> Tensor:
        """Read the tensor into newly allocated memory.

        Raises:
            UserError: The file is truncated.
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

    def mapped(self) -> Tensor:
        """Return the tensor as a part of the file, read as it is used, which the system may drop from memory again.

        Changes of it do not reach the file.
        """
        content = np.memmap(self.path, np.uint8, "c", self.offset, (self.bytes,))
        return torch.from_numpy(content).view(self.dtype).view(self.shape)


def stored_tensor(header: TensorHeader) -> StoredTensor:
    """Return the tensor that a header describes.

    Raises:
        UserError: Its dtype is not supported.
    """
    if header.dtype not in _DTYPES:
        raise UserError(f"{header.file} is damaged, or its dtype '{header.dtype}' is not supported; fetch it again")
    return StoredTensor(header.file, _DTYPES[header.dtype], header.shape, header.offset)


class SafetensorsWriter:
    """Writes a file tensor by tensor, in the order of arrival.

    The header comes first but is known only at the end, so room is reserved for it. All dtypes in a file must have the
    same width: readers refuse tensors that do not start at a multiple of their width.
    """

    def __init__(self, path: Path, *, header_room: int) -> None:
        """Create a file, which must not exist, with room for a header of this many bytes; see ``entry_room``."""
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
        """Bytes of the tensors written so far."""
        return self._end

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the tensors written so far."""
        return tuple(self._entries)

    def append(self, name: str, tensor: Tensor) -> None:
        """Write a tensor.

        Raises:
            OSError: The disk is full or fails.
        """
        size = write_tensor(self._stream, tensor)
        offsets = [self._end, self._end + size]
        self._entries[name] = {"dtype": _NAMES[tensor.dtype], "shape": list(tensor.shape), "data_offsets": offsets}
        self._end += size

    def finish(self, metadata: Mapping[str, str]) -> None:
        """Write the header, and sync the file to disk; transformers requires ``format`` in the metadata."""
        header = json.dumps({_METADATA: dict(metadata), **self._entries}, separators=(",", ":")).encode()
        room = self._start - _LENGTH_BYTES
        if len(header) > room:
            raise ValueError(f"the header of {self._path} takes {len(header)} bytes, and {room} were reserved for it")
        self._stream.seek(0)
        self._stream.write(room.to_bytes(_LENGTH_BYTES, "little") + header.ljust(room))
        os.fsync(self._stream.fileno())


def start_of_tensors(header_room: int) -> int:
    """Return the position of a file's first tensor, given an upper bound of its header's bytes."""
    room = _LENGTH_BYTES + header_room
    return room + -room % _ALIGNMENT


def entry_room(name: str) -> int:
    """Return an upper bound of a tensor's bytes in a header."""
    largest = 10**_LARGEST_DIGITS
    entry = {"dtype": "F8_E4M3", "shape": [largest] * _MOST_DIMENSIONS, "data_offsets": [largest, largest]}
    return len(json.dumps({name: entry}).encode())


def write_tensor(stream: FileIO, tensor: Tensor) -> int:
    """Write a tensor's bytes in row-major order, and return their number.

    Raises:
        OSError: The disk is full or fails.
    """
    view, done = _bytes_of(tensor.detach().contiguous()), 0
    while done < len(view):
        done += stream.write(view[done : done + _WRITTEN_AT_ONCE])
    return len(view)


def _bytes_of(tensor: Tensor) -> memoryview:
    return memoryview(tensor.reshape(-1).view(torch.uint8).numpy()) if tensor.numel() else memoryview(b"")

"""Writes a checkpoint's tensors into shards."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType

from torch import Tensor

from forgetmeter.models.files.model_files import INDEX
from forgetmeter.models.files.safetensors_file import SafetensorsWriter, entry_room, start_of_tensors

_METADATA = {"format": "pt"}
_METADATA_ROOM = 64


class CheckpointWriter:
    """Writes tensors in the order of arrival into shards of limited size, with an index.

    The order of the shards has no meaning. Each shard holds dtypes of one width.
    """

    def __init__(self, folder: Path, names: Iterable[str], *, max_shard_bytes: int) -> None:
        """Start a checkpoint in an empty folder.

        Args:
            names: A superset of the tensor names, for which room is reserved in the headers.
            max_shard_bytes: Size limit of the tensors per shard; only a single tensor may exceed it.
        """
        self._folder = folder
        self._header_room = _METADATA_ROOM + sum(map(entry_room, names))
        self._most = max_shard_bytes
        self._open: dict[int, SafetensorsWriter] = {}
        self._all: list[tuple[Path, SafetensorsWriter]] = []
        self._closing = ExitStack()
        self.tensors = 0

    def __enter__(self) -> CheckpointWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closing.close()

    def append(self, name: str, tensor: Tensor) -> None:
        """Write a tensor.

        Raises:
            OSError: The disk is full or fails.
        """
        width = tensor.dtype.itemsize
        current = self._open.get(width)
        if current is None or (current.bytes and current.bytes + tensor.numel() * width > self._most):
            path = self._folder / f"part-{len(self._all)}.safetensors"
            current = self._closing.enter_context(SafetensorsWriter(path, header_room=self._header_room))
            self._open[width] = current
            self._all.append((path, current))
        current.append(name, tensor)
        self.tensors += 1

    def finish(self) -> tuple[Path, ...]:
        """Complete and rename all shards, write an index if there are several, and return their paths."""
        count = len(self._all)
        files: dict[Path, tuple[str, ...]] = {}
        for number, (path, shard) in enumerate(self._all, start=1):
            shard.finish(_METADATA)
            name = "model.safetensors" if count == 1 else f"model-{number:05}-of-{count:05}.safetensors"
            files[path.rename(self._folder / name)] = shard.names
        if count > 1:
            size = sum(shard.bytes for _, shard in self._all)
            places = {tensor: file.name for file, names in files.items() for tensor in names}
            index = {"metadata": {"total_size": size}, "weight_map": dict(sorted(places.items()))}
            write_text(self._folder / INDEX, json.dumps(index, indent=2) + "\n")
        return tuple(files)


def bytes_of_files(names: Iterable[str], tensors: Iterable[tuple[int, int]], *, max_shard_bytes: int) -> int:
    """Return the total bytes of the shards that a ``CheckpointWriter`` would write.

    ``tensors`` gives the dtype's width and the size, both in bytes, of each tensor in the order of writing.
    """
    room = start_of_tensors(_METADATA_ROOM + sum(map(entry_room, names)))
    current: dict[int, int] = {}
    total = 0
    for width, size in tensors:
        if width not in current or (current[width] and current[width] + size > max_shard_bytes):
            total += room
            current[width] = 0
        current[width] += size
        total += size
    return total


def write_text(path: Path, text: str) -> None:
    """Write a small text file, and sync it to disk."""
    with path.open("w", encoding="utf-8") as stream:
        stream.write(text)
        stream.flush()
        os.fsync(stream.fileno())

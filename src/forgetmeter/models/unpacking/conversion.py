"""Writes a checkpoint's plain tensors into a cached folder that ``from_pretrained`` reads."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from forgetmeter.models.files.cached_folder import cached_folder, filled
from forgetmeter.models.files.small_files import OF_MODEL, OF_TOKENIZER, copy_companions
from forgetmeter.models.files.writer import CheckpointWriter
from forgetmeter.models.location import Location
from forgetmeter.models.unpacking.plain_tensor import PlainTensor

_VERSION = 2
"""Increase it whenever unpacking yields another folder; after a release, ``Location.identity`` must depend on it."""
_SHARD_BYTES = 5_000_000_000


def unpacked_folder(location: Location) -> Path:
    """Return the cached folder of an unpacked model, which may not exist."""
    return cached_folder(f"{location.identity}-{_VERSION}")


def unpacked(location: Location, tensors: Sequence[PlainTensor], config: Any, tokenizer: Path) -> Path:  # noqa: ANN401
    """Return the cached folder of an unpacked model; write it if it is missing.

    Args:
        location: The model.
        tensors: Its tensors.
        config: Its configuration, without quantization.
        tokenizer: A folder with its tokenizer.

    Raises:
        UserError: The values of a tensor are invalid, its file is truncated, or the cache is not writable.
    """

    def fill(folder: Path) -> None:
        config.save_pretrained(folder)
        copy_companions(tokenizer, folder, OF_TOKENIZER)
        for part in filter(None, (location.base, location)):
            if part.path.is_dir():
                copy_companions(part.path, folder, (*OF_MODEL, "README.md"))
        names = [tensor.header.name for tensor in tensors]
        with CheckpointWriter(folder, names, max_shard_bytes=_SHARD_BYTES) as writer:
            for tensor in tensors:
                writer.append(tensor.header.name, tensor.read())
            writer.finish()

    return filled(unpacked_folder(location), location.path, fill)

"""Writes a checkpoint's plain tensors into a cached folder that ``from_pretrained`` reads."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from forgetmeter.models.cached_folder import cached_folder, filled
from forgetmeter.models.files.small_files import PATTERNS, copy_companions
from forgetmeter.models.files.writer import CheckpointWriter
from forgetmeter.models.location import Location
from forgetmeter.models.unpacking.plain_tensor import PlainTensor

_VERSION = 1
"""Increase it whenever unpacking yields another folder, and let ``Location.identity`` depend on it from then on."""
_SHARD_BYTES = 5_000_000_000


def unpacked_folder(location: Location) -> Path:
    """Return the cached folder of an unpacked model, which may not exist."""
    return cached_folder(f"{location.identity}-{_VERSION}")


def unpacked(location: Location, tensors: Sequence[PlainTensor], config: Any, small: Sequence[Path]) -> Path:  # noqa: ANN401
    """Return the cached folder of an unpacked model; write it if it is missing.

    Args:
        location: The model.
        tensors: Its tensors.
        config: Its configuration as plain numbers.
        small: Folders whose small files are copied; later ones replace earlier ones.

    Raises:
        UserError: The values of a tensor are not possible, its file is truncated, or the cache is not writable.
    """

    def fill(folder: Path) -> None:
        config.save_pretrained(folder)
        for each in small:
            copy_companions(each, folder, (*PATTERNS, "README.md"))
        names = [tensor.header.name for tensor in tensors]
        with CheckpointWriter(folder, names, max_shard_bytes=_SHARD_BYTES) as writer:
            for tensor in tensors:
                writer.append(tensor.header.name, tensor.read())
            writer.finish()

    return filled(unpacked_folder(location), location.path, fill)

"""The safetensors of a checkpoint: which of them transformers reads, and what their headers say."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from safetensors import safe_open

SINGLE = "model.safetensors"
INDEX = "model.safetensors.index.json"


@dataclass(frozen=True)
class TensorHeader:
    """A tensor of a checkpoint, as the header of its file describes it.

    Attributes:
        dtype: As safetensors writes it, such as ``BF16`` or ``F8_E4M3``.
        shape: Its shape.
    """

    dtype: str
    shape: tuple[int, ...]


def weight_files(folder: Path) -> tuple[Path, ...]:
    """Return the safetensors that ``from_pretrained`` reads of a folder; all that there are where it would read none.

    Args:
        folder: A folder whose index, if it has one, was checked.
    """
    if (folder / SINGLE).is_file():
        return (folder / SINGLE,)
    if (folder / INDEX).is_file():
        listed = json.loads((folder / INDEX).read_text(encoding="utf-8"))["weight_map"].values()
        return tuple(folder / file for file in dict.fromkeys(listed))
    return tuple(sorted(folder.glob("*.safetensors")))


def tensor_headers(files: Iterable[Path]) -> dict[str, TensorHeader]:
    """Return the tensors of some files by name; only the headers are read.

    Raises:
        SafetensorError: A file is damaged.
        OSError: It cannot be read.
    """
    tensors: dict[str, TensorHeader] = {}
    for file in files:
        with safe_open(file, framework="numpy") as stored:
            for name in stored.keys():  # noqa: SIM118 - not a mapping
                part = stored.get_slice(name)
                tensors[name] = TensorHeader(part.get_dtype(), tuple(part.get_shape()))
    return tensors

"""A model's files as they are, before any library makes something of them."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import safe_open

SINGLE = "model.safetensors"
INDEX = "model.safetensors.index.json"
TOKENIZER_FILES = (
    "tokenizer*",
    "special_tokens_map.json",
    "added_tokens.json",
    "*.model",
    "*vocab*",
    "merges*",
    "*.codes",
    "*.spm",
    "*.tiktoken",
    "*.tokenizer",
    "emoji.json",
    "word_*.json",
    "byte_maps.json",
    "dict.txt",
    "normalizer.json",
)
"""What transformers' tokenizers read, by pattern; a test compares it with the files that its classes name."""

_LENGTH_BYTES = 8


def raw_config(folder: Path, file: str = "config.json") -> dict[str, Any]:
    """Return what a JSON file of a model's folder holds; nothing where it is missing, damaged or no mapping."""
    try:
        stored = json.loads((folder / file).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return stored if isinstance(stored, dict) else {}


@dataclass(frozen=True)
class TensorHeader:
    """A tensor of a checkpoint, as the header of its file describes it.

    Attributes:
        name: Its name in the file.
        dtype: As safetensors writes it, such as ``BF16`` or ``F8_E4M3``.
        shape: Its shape.
        file: The file.
        offset: Position of its first byte in the file.
    """

    name: str
    dtype: str
    shape: tuple[int, ...]
    file: Path
    offset: int


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


def tensor_headers(files: Iterable[Path]) -> tuple[TensorHeader, ...]:
    """Return the tensors of some files, file by file and by name; only the headers are read.

    Raises:
        SafetensorError: A file is damaged.
        OSError: It cannot be read.
    """
    headers: list[TensorHeader] = []
    for file in files:
        with safe_open(file, framework="numpy"), file.open("rb") as stream:
            # The library has checked the header as it opened the file, but does not say where tensors begin.
            length = int.from_bytes(stream.read(_LENGTH_BYTES), "little")
            entries: dict[str, Any] = json.loads(stream.read(length))
        entries.pop("__metadata__", None)
        headers += (
            TensorHeader(
                name, entry["dtype"], tuple(entry["shape"]), file, _LENGTH_BYTES + length + entry["data_offsets"][0]
            )
            for name, entry in sorted(entries.items())
        )
    return tuple(headers)

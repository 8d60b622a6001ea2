"""Raw access to a model's files: JSON, safetensors headers, file names."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import safe_open

SINGLE = "model.safetensors"
INDEX = "model.safetensors.index.json"
ADAPTER_CONFIG = "adapter_config.json"
ADAPTER_WEIGHTS = "adapter_model.safetensors"
TOKENIZER_FILES = (
    "tokenizer*.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "*.model",
    "tekken.json",
    "*vocab*.json",
    "*vocab*.txt",
    "merges.txt",
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
"""Patterns of the files that transformers' tokenizers read; a test compares them with the tokenizer classes."""

_LENGTH_BYTES = 8


def raw_config(folder: Path, file: str = "config.json") -> dict[str, Any]:
    """Return a JSON file of a model's folder; empty if it is missing, damaged or not a mapping."""
    try:
        stored = json.loads((folder / file).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return stored if isinstance(stored, dict) else {}


@dataclass(frozen=True)
class TensorHeader:
    """A tensor of a checkpoint, as described by its file's header.

    Attributes:
        name: Its name in the file.
        dtype: Its dtype in safetensors' notation, such as ``BF16`` or ``F8_E4M3``.
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
    """Return the safetensors files that ``from_pretrained`` reads in a folder; all of them if it would read none.

    The folder's index, if any, must have been checked.
    """
    if (folder / SINGLE).is_file():
        return (folder / SINGLE,)
    if (folder / INDEX).is_file():
        listed = json.loads((folder / INDEX).read_text(encoding="utf-8"))["weight_map"].values()
        return tuple(folder / file for file in dict.fromkeys(listed))
    return tuple(sorted(folder.glob("*.safetensors")))


def tensor_headers(files: Iterable[Path]) -> tuple[TensorHeader, ...]:
    """Return the tensors of files, sorted by name within each file; only headers are read.

    Raises:
        SafetensorError: A file is damaged.
        OSError: A file cannot be read.
    """
    headers: list[TensorHeader] = []
    for file in files:
        with safe_open(file, framework="numpy"), file.open("rb") as stream:
            # The library checks the header on opening, but does not expose where tensors begin.
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

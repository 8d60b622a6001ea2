"""Converts a GGUF file into cached folders: its header at once, its weights as safetensors when they are needed."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from transformers import PreTrainedModel

from forgetmeter.basics.quiet import quiet
from forgetmeter.models.files.cached_folder import cached_folder, filled
from forgetmeter.models.from_gguf.header import refuse_missing, write_header
from forgetmeter.models.from_gguf.reading import each_read_once
from forgetmeter.models.location import Location
from forgetmeter.models.safe_loading.pretrained import load_config, open_gguf

_READER = 8
"""Part of the cached folders' names: increase it whenever a file is refused, or is read differently."""


def described(location: Location) -> Path:
    """Return a cached folder with a GGUF file's configuration and tokenizer; only the file's header is read.

    Raises:
        UserError: The file is truncated or lacks weights, or transformers cannot read all that its header says.
    """
    if is_converted(location):
        return converted(location)
    with each_read_once():
        return filled(_header_folder(location), location.path, lambda folder: write_header(location, folder))


def converted(location: Location) -> Path:
    """Return the cached folder of a GGUF file's model, dequantized to float32; convert it if missing.

    Raises:
        UserError: As for ``described``.
    """
    with each_read_once():
        return filled(_folder(location), location.path, lambda folder: _convert(location, folder))


def is_converted(location: Location) -> bool:
    """Whether a GGUF file is already converted."""
    return _folder(location).is_dir()


def is_described(location: Location) -> bool:
    """Whether a GGUF file's configuration and tokenizer can be read at once."""
    return is_converted(location) or _header_folder(location).is_dir()


def _folder(location: Location) -> Path:
    return cached_folder(f"{location.identity}-{_READER}")


def _header_folder(location: Location) -> Path:
    return _folder(location).with_name(f"{_folder(location).name}-header")


def _convert(location: Location, folder: Path) -> None:
    name, header = str(location.reference), described(location)
    model, report = open_gguf(location.path, name, load_config(header, name))
    refuse_missing(report["missing_keys"], name)
    with quiet():
        without_quantization_marks(model).save_pretrained(folder)
    shutil.copytree(header, folder, dirs_exist_ok=True)


def without_quantization_marks(model: PreTrainedModel) -> PreTrainedModel:
    """Remove the quantization marks of a model that was dequantized while loading.

    transformers 5 leaves them on models from GGUF, and ``save_pretrained`` then refuses these.
    """
    unmarked: Any = model
    unmarked.hf_quantizer = None
    unmarked.is_quantized = False
    unmarked.quantization_method = None
    if hasattr(unmarked.config, "quantization_config"):
        del unmarked.config.quantization_config
    return model

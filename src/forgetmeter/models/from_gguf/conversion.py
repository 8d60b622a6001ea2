"""Converts a GGUF file into cached folders: its header at once, its weights as safetensors when they are needed."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from transformers import PreTrainedModel

from forgetmeter.cache_folder import SOURCE, cache_folder, use
from forgetmeter.errors import UserError, one_line
from forgetmeter.models.from_gguf.header import refuse_missing, write_header
from forgetmeter.models.location import Location
from forgetmeter.models.pretrained import load_config, open_gguf
from forgetmeter.quiet import quiet

_READER = 4
"""Part of the cached folders' names: increase it whenever a file is refused, or is read differently."""


def described(location: Location) -> Path:
    """Return a cached folder with a GGUF file's configuration and tokenizer; only the file's header is read.

    Raises:
        UserError: The file is truncated or lacks weights, or transformers cannot read all that its header says.
    """
    if is_converted(location):
        return converted(location)
    return _made(_header_folder(location), location, lambda made: write_header(location, made))


def converted(location: Location) -> Path:
    """Return the cached folder of a GGUF file's model, dequantized to float32; convert it if missing.

    Raises:
        UserError: As ``described``.
    """
    return _made(_folder(location), location, lambda made: _convert(location, made))


def is_converted(location: Location) -> bool:
    """Whether a model needs no conversion or is already converted."""
    return location.path.is_dir() or _folder(location).is_dir()


def is_described(location: Location) -> bool:
    """Whether a model's configuration and tokenizer can be read at once."""
    return is_converted(location) or _header_folder(location).is_dir()


def _folder(location: Location) -> Path:
    return cache_folder() / "models" / f"{location.identity}-{_READER}"


def _header_folder(location: Location) -> Path:
    return _folder(location).with_name(f"{_folder(location).name}-header")


def _made(folder: Path, location: Location, fill: Callable[[Path], None]) -> Path:
    """Return a cached folder, which is either complete or absent; fill it if missing."""
    if folder.is_dir():
        use(folder)
        return folder
    try:
        _make(folder, location, fill)
    except (OSError, SafetensorError) as error:
        raise UserError(
            f"the cache folder is not writable ({one_line(error)}); set FORGETMETER_CACHE to another folder"
        ) from error
    return folder


def _make(folder: Path, location: Location, fill: Callable[[Path], None]) -> None:
    folder.parent.mkdir(parents=True, exist_ok=True)
    aside = Path(tempfile.mkdtemp(prefix=".tmp-", dir=folder.parent))
    try:
        use(aside)
        fill(aside)
        (aside / SOURCE).write_text(json.dumps({"source": str(location.path.resolve())}), encoding="utf-8")
        try:
            aside.rename(folder)
        except OSError:
            # Another process finished first, with the same result.
            if not folder.is_dir():
                raise
    finally:
        shutil.rmtree(aside, ignore_errors=True)


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

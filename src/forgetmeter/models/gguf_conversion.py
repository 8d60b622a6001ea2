"""Turning a GGUF file into a folder of safetensors, once."""

from __future__ import annotations

import shutil
import struct
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedModel

from forgetmeter.cache_folder import cache_folder
from forgetmeter.errors import UserError
from forgetmeter.models.location import Location

# Part of the cache key: raise it when the conversion's result changes.
_CONVERSION = 1


def converted(location: Location) -> Path:
    """Return a folder with the model of a GGUF file, dequantized to float32; made if it is not cached.

    Raises:
        UserError: The file is truncated, or of an architecture that transformers cannot read from GGUF.
    """
    folder = _folder(location)
    if folder.is_dir():
        return folder
    check_whole(location.path)
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        aside = Path(tempfile.mkdtemp(prefix=".tmp-", dir=folder.parent))
    except OSError as error:
        raise UserError(f"the cache folder cannot be written to ({error}); set FORGETMETER_CACHE to another") from error
    try:
        _convert(location.path, aside)
        try:
            aside.rename(folder)
        except OSError:
            # Another process was first; its result is the same.
            if not folder.is_dir():
                raise
    finally:
        shutil.rmtree(aside, ignore_errors=True)
    return folder


def is_converted(location: Location) -> bool:
    """Whether a model needs no conversion, or has been converted before."""
    return location.path.is_dir() or _folder(location).is_dir()


def _folder(location: Location) -> Path:
    return cache_folder() / "models" / f"{location.identity}-{_CONVERSION}"


def check_whole(path: Path) -> None:
    """Check that a GGUF file holds all the tensors that its header lists.

    Raises:
        UserError: It does not.
    """
    from gguf import GGUFReader

    try:
        tensors = GGUFReader(path).tensors
        end = max((int(tensor.data_offset) + int(tensor.n_bytes) for tensor in tensors), default=0)
        problem = "" if 0 < end <= path.stat().st_size else "its tensors reach beyond its end"
    except (ValueError, IndexError, KeyError, OSError, struct.error, UnicodeDecodeError) as error:
        problem = str(error)
    if problem:
        raise UserError(f"model '{path}': the GGUF file is truncated or damaged ({problem}); fetch it again")


def _convert(path: Path, folder: Path) -> None:
    try:
        tokenizer = AutoTokenizer.from_pretrained(path.parent, gguf_file=path.name)
        model, report = AutoModelForCausalLM.from_pretrained(
            path.parent, gguf_file=path.name, dtype=torch.float32, output_loading_info=True
        )
    except (KeyboardInterrupt, MemoryError):
        raise
    except BaseException as error:
        cause = " ".join(str(error).split())[:200] or type(error).__name__
        raise UserError(
            f"model '{path}': transformers cannot read this GGUF as a decoder with its tokenizer ({cause})"
        ) from error
    refuse_missing(report["missing_keys"], str(path))
    plain = without_quantization_marks(model)
    plain.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def refuse_missing(missing: Iterable[str], name: str) -> None:
    """Refuse a checkpoint without all of its model's weights: transformers would draw the others at random.

    Raises:
        UserError: Something is missing.
    """
    if names := sorted(missing):
        raise UserError(
            f"model '{name}': the checkpoint lacks {len(names)} weights, such as {names[0]}; they would be random, "
            "and its answers noise: give a checkpoint that was saved with the head it was trained with"
        )


def without_quantization_marks(model: PreTrainedModel) -> PreTrainedModel:
    """Take the marks of quantization off a model that was dequantized while it was loaded.

    transformers 5 leaves them on a model from a GGUF, and they make ``save_pretrained`` refuse it.
    """
    unmarked: Any = model
    unmarked.hf_quantizer = None
    unmarked.is_quantized = False
    unmarked.quantization_method = None
    if hasattr(unmarked.config, "quantization_config"):
        del unmarked.config.quantization_config
    return model

"""Converts a GGUF file into a cached folder of safetensors."""

from __future__ import annotations

import shutil
import struct
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from gguf import GGUFReader
from safetensors import SafetensorError
from transformers import PreTrainedModel, PreTrainedTokenizerBase
from transformers.modeling_gguf_pytorch_utils import TENSOR_PROCESSORS, TensorProcessor, get_gguf_hf_weights_map

from forgetmeter.cache_folder import cache_folder
from forgetmeter.errors import UserError, one_line
from forgetmeter.models.gguf_settings import apply_pre_tokenizer, apply_settings, differing_settings
from forgetmeter.models.location import CONVERSION, Location
from forgetmeter.models.pretrained import open_gguf

_LONGEST_SETTING = 512
"""Length limit of lists that are settings with one entry per block; longer lists are parts of the vocabulary."""


def converted(location: Location) -> Path:
    """Return the cached folder of a GGUF file's model, dequantized to float32; convert it if missing.

    Raises:
        UserError: The file is truncated, or transformers cannot read its architecture from GGUF.
    """
    folder = _folder(location)
    if folder.is_dir():
        return folder
    check_whole(location.path)
    try:
        _convert_into(folder, location.path)
    except (OSError, SafetensorError) as error:
        raise UserError(
            f"the cache folder is not writable ({one_line(error)}); set FORGETMETER_CACHE to another folder"
        ) from error
    return folder


def _convert_into(folder: Path, path: Path) -> None:
    folder.parent.mkdir(parents=True, exist_ok=True)
    aside = Path(tempfile.mkdtemp(prefix=".tmp-", dir=folder.parent))
    try:
        _convert(path, aside)
        try:
            aside.rename(folder)
        except OSError:
            # Another process finished first, with the same result.
            if not folder.is_dir():
                raise
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def is_converted(location: Location) -> bool:
    """Whether a model needs no conversion or is already converted."""
    return location.path.is_dir() or _folder(location).is_dir()


def _folder(location: Location) -> Path:
    return cache_folder() / "models" / f"{location.identity}-{CONVERSION}"


class _BoundedReader(GGUFReader):  # type: ignore[misc] # gguf is not followed by mypy
    """A reader that stops at the end of the file: gguf's own reads empty values there, as many as a header claims."""

    def _get(self, offset: int, dtype: Any, count: int = 1, *arguments: Any, **options: Any) -> Any:  # noqa: ANN401
        if int(offset) + int(count) * np.dtype(dtype).itemsize > len(self.data):
            raise ValueError("its header extends beyond the end of the file")
        return super()._get(offset, dtype, count, *arguments, **options)


def check_whole(path: Path) -> None:
    """Check that a GGUF file holds all the tensors that its header lists.

    Raises:
        UserError: It does not.
    """
    try:
        tensors = _BoundedReader(path).tensors
        end = max((int(tensor.data_offset) + int(tensor.n_bytes) for tensor in tensors), default=0)
        problem = "" if 0 < end <= path.stat().st_size else "its tensors extend beyond the end of the file"
    except (ValueError, IndexError, KeyError, OSError, struct.error, UnicodeDecodeError) as error:
        problem = str(error)
    if problem:
        raise UserError(f"model '{path}': the GGUF file is truncated or damaged ({problem}); fetch it again")


def _convert(path: Path, folder: Path) -> None:
    model, report, tokenizer = open_gguf(path)
    refuse_missing(report["missing_keys"], str(path))
    refuse_unread_parts(path, model, tokenizer)
    plain = without_quantization_marks(model)
    plain.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def refuse_missing(missing: Iterable[str], name: str) -> None:
    """Refuse a checkpoint with missing weights, which transformers would initialize at random.

    Raises:
        UserError: A weight is missing.
    """
    if names := sorted(missing):
        raise UserError(
            f"model '{name}': the checkpoint lacks {len(names)} weights, such as {names[0]}, which would be random; "
            "use a checkpoint that was saved with its trained head"
        )


def refuse_unread_parts(path: Path, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> None:
    """Refuse a GGUF file with content that transformers ignores although it changes the model.

    transformers silently ignores tensors that its architecture does not use (``rope_freqs.weight`` of Llama 3.1,
    biases) and settings that it has no name for (scaled rotary embeddings, scales, windows). A few of these settings
    are applied here, to the model's configuration and the tokenizer.

    Raises:
        UserError: There is such a tensor or setting, or the rules for splitting words are unknown.
    """
    reader = GGUFReader(path)
    architecture = str(reader.fields["general.architecture"].contents())
    processor = TENSOR_PROCESSORS.get(architecture, TensorProcessor)(config=model.config.to_dict())
    places = get_gguf_hf_weights_map(model, processor)
    unread = [tensor.name for tensor in reader.tensors if tensor.name not in places and not _is_merged(tensor.name)]
    if unread:
        raise UserError(
            f"model '{path}': the GGUF file holds {len(unread)} tensors that transformers ignores, such as "
            f"{unread[0]}, so it would load as a different model; use the checkpoint that it was made from"
        )
    settings = _stated(reader, f"{architecture}.")
    apply_settings(model, architecture, settings)
    if problem := next(differing_settings(model, settings), None):
        raise UserError(
            f"model '{path}': the GGUF file specifies {problem}, which transformers ignores, so it would load as "
            "a different model; use the checkpoint that it was made from"
        )
    if problem := apply_pre_tokenizer(tokenizer, _stated(reader, "tokenizer.ggml.")):
        raise UserError(f"model '{path}': the GGUF file {problem}; use the checkpoint that it was made from")


def _stated(reader: GGUFReader, prefix: str) -> dict[str, Any]:
    """Return the fields of a GGUF file with a prefix, keyed by the rest of their names, without long lists."""
    return {
        name.removeprefix(prefix): field.contents()
        for name, field in reader.fields.items()
        if name.startswith(prefix) and len(field.data) <= _LONGEST_SETTING
    }


def _is_merged(tensor: str) -> bool:
    """Whether transformers merges a tensor into another one by its own rules: experts, and GPT-2's head."""
    return "_exps." in tensor or tensor == "output.weight"


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

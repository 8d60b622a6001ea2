"""Turning a GGUF file into a folder of safetensors, once."""

from __future__ import annotations

import shutil
import struct
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from gguf import GGUFReader
from transformers import PreTrainedModel, PreTrainedTokenizerBase
from transformers.modeling_gguf_pytorch_utils import TENSOR_PROCESSORS, TensorProcessor, get_gguf_hf_weights_map

from forgetmeter.cache_folder import cache_folder
from forgetmeter.errors import UserError
from forgetmeter.models.gguf_settings import differing_settings, settle, settle_tokenizer
from forgetmeter.models.location import CONVERSION, Location
from forgetmeter.models.pretrained import open_gguf

_LONGEST_SETTING = 512
"""Longest list that is a setting, one entry a block, and not part of the vocabulary."""


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
    return cache_folder() / "models" / f"{location.identity}-{CONVERSION}"


def check_whole(path: Path) -> None:
    """Check that a GGUF file holds all the tensors that its header lists.

    Raises:
        UserError: It does not.
    """
    try:
        tensors = GGUFReader(path).tensors
        end = max((int(tensor.data_offset) + int(tensor.n_bytes) for tensor in tensors), default=0)
        problem = "" if 0 < end <= path.stat().st_size else "its tensors reach beyond its end"
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
    """Refuse a checkpoint without all of its model's weights: transformers would draw the others at random.

    Raises:
        UserError: Something is missing.
    """
    if names := sorted(missing):
        raise UserError(
            f"model '{name}': the checkpoint lacks {len(names)} weights, such as {names[0]}; they would be random, "
            "and its answers noise: give a checkpoint that was saved with the head it was trained with"
        )


def refuse_unread_parts(path: Path, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> None:
    """Refuse a GGUF file that holds more than transformers takes from it, and would be another model without that.

    transformers leaves out, without a word, tensors that its architecture has no place for (``rope_freqs.weight`` of
    Llama 3.1, biases) and settings that it has no name for (scaled rotary embeddings, scales, windows). A few of these
    settings are set here.

    Args:
        path: The file.
        model: What transformers made of it; its configuration is changed.
        tokenizer: Its tokenizer, likewise.

    Raises:
        UserError: There is such a tensor or setting, or words are split in a way that is not known.
    """
    reader = GGUFReader(path)
    architecture = str(reader.fields["general.architecture"].contents())
    processor = TENSOR_PROCESSORS.get(architecture, TensorProcessor)(config=model.config.to_dict())
    places = get_gguf_hf_weights_map(model, processor)
    unread = [tensor.name for tensor in reader.tensors if tensor.name not in places and not _put_together(tensor.name)]
    if unread:
        raise UserError(
            f"model '{path}': the GGUF file holds {len(unread)} tensors that transformers leaves out, such as "
            f"{unread[0]}; without them it is another model. Give the checkpoint that it was made from"
        )
    settings = _stated(reader, f"{architecture}.")
    settle(model, architecture, settings)
    if problem := next(differing_settings(model, settings), None):
        raise UserError(
            f"model '{path}': the GGUF file says {problem}, which transformers leaves out; without it, "
            "it is another model. Give the checkpoint that it was made from"
        )
    if problem := settle_tokenizer(tokenizer, _stated(reader, "tokenizer.ggml.")):
        raise UserError(f"model '{path}': the GGUF file {problem}. Give the checkpoint that it was made from")


def _stated(reader: GGUFReader, prefix: str) -> dict[str, Any]:
    """Return the fields of a GGUF file whose names begin with a prefix, without it; long lists are left out."""
    return {
        name.removeprefix(prefix): field.contents()
        for name, field in reader.fields.items()
        if name.startswith(prefix) and len(field.data) <= _LONGEST_SETTING
    }


def _put_together(tensor: str) -> bool:
    """Whether transformers puts a tensor into another one by its own rules: experts, and GPT-2's head."""
    return "_exps." in tensor or tensor == "output.weight"


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

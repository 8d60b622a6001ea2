"""Reads a GGUF file's header: configuration, tokenizer, names and shapes; and what transformers would misread."""

from __future__ import annotations

import json
import re
import struct
from collections.abc import Iterable, Iterator, Mapping
from itertools import chain
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import torch
from gguf import GGML_QUANT_SIZES, GGUFReader, dequantize
from transformers import PreTrainedModel, PreTrainedTokenizerBase
from transformers.modeling_gguf_pytorch_utils import TENSOR_PROCESSORS, TensorProcessor, get_gguf_hf_weights_map

from forgetmeter.basics.plural import counted
from forgetmeter.errors import UserError, one_line
from forgetmeter.models.from_gguf.record import write_record
from forgetmeter.models.from_gguf.settings import apply_settings, differing_settings, missing_settings
from forgetmeter.models.from_gguf.vocabulary import apply_vocabulary, end_tokens, unequal_lists
from forgetmeter.models.location import Location
from forgetmeter.models.safe_loading.pretrained import open_gguf_header, opening_tokenizer
from forgetmeter.models.safe_loading.settings import size_problems

_VOCABULARY = "tokenizer.ggml."
_HEAD = "output.weight"
# The experts of a layer, which transformers knows without this suffix; it reads nothing else of them.
_EXPERTS = re.compile(r"(blk\.\d+\.ffn_(?:gate|up|down)_exps)(?:\.weight)?")
_OF_HEAD = re.compile(r"(^|\.)(cls|\w*head|\w*predictions?|lm_loss|generator\w*)(\.|$)")


def whole(path: Path, name: str) -> GGUFReader:
    """Open a GGUF file that holds all the tensors that its header lists, within ``each_read_once``.

    Raises:
        UserError: It does not; the message has the name.
    """
    try:
        reader = gguf.GGUFReader(path)
        end = max((int(tensor.data_offset) + int(tensor.n_bytes) for tensor in reader.tensors), default=0)
        problem = "" if 0 < end <= path.stat().st_size else "its tensors extend beyond the end of the file"
    except (ValueError, IndexError, KeyError, OSError, struct.error, UnicodeDecodeError, RecursionError) as error:
        problem = str(error)
    if problem:
        raise UserError(f"model '{name}': the GGUF file is truncated or damaged ({problem}); fetch it again")
    return reader


def write_header(location: Location, folder: Path) -> None:
    """Write a GGUF file's configuration and tokenizer into a folder; its weights are not read.

    Raises:
        UserError: The file is truncated, transformers cannot read its architecture from GGUF, weights are missing, or
            it has content that transformers ignores although it changes the model.
    """
    path, name = location.path, str(location.reference)
    reader = whole(path, name)
    if (kind := _text(reader, "general.type", "model")) != "model":
        raise UserError(
            f"model '{name}': the GGUF file is not a model (its type is '{kind}'); name the file of a model"
        )
    architecture = _architecture(reader)
    settings = _stated(reader, f"{architecture}.")
    sizes = size_problems(settings)
    if problem := next(chain(unequal_lists(_stated(reader, _VOCABULARY)), sizes), None):
        raise UserError(f"model '{name}': the GGUF file is damaged ({problem}); fetch it again")
    needed = (f"{architecture}.{each}" for each in missing_settings(settings))
    if missing := next(needed, None) if architecture else "general.architecture":
        raise UserError(
            f"model '{name}': the GGUF file lacks {missing}, without which it is incomplete; fetch it again"
        )
    _refuse_unreadable_types(name, reader)
    model, tokenizer = open_gguf_header(path, name)
    places = _places(name, reader, model)
    _refuse_unread(name, reader, places)
    _apply_settings(name, reader, model, tokenizer)
    refuse_missing(_missing(reader, places, model), name)
    _refuse_other_sizes(name, reader, places, model)
    model.config.architectures = [type(model).__name__]
    model.config.dtype = torch.float32
    model.config.save_pretrained(folder)
    if ends := end_tokens(_stated(reader, _VOCABULARY)):
        (folder / "generation_config.json").write_text(json.dumps({"eos_token_id": ends}), encoding="utf-8")
    tokenizer.save_pretrained(folder)
    write_record(reader, model, places, folder)


def _refuse_unreadable_types(name: str, reader: GGUFReader) -> None:
    """Refuse tensors of a type that the gguf package lists but does not decode.

    Raises:
        UserError: There is such a tensor.
    """
    first = {tensor.tensor_type: tensor.name for tensor in reversed(reader.tensors)}
    for kind, tensor in first.items():
        try:
            dequantize(np.zeros((1, GGML_QUANT_SIZES[kind][1]), np.uint8), kind)
        except NotImplementedError:
            raise UserError(
                f"model '{name}': {tensor} is of the type {kind.name}, which the installed gguf package cannot decode; "
                "use a GGUF file of another type, or the checkpoint that it was made from"
            ) from None


def refuse_missing(missing: Iterable[str], name: str) -> None:
    """Refuse a checkpoint with missing weights, which transformers would initialize at random.

    Raises:
        UserError: A weight is missing.
    """
    if names := sorted(missing):
        head = ", saved with the head that it was trained with" if _OF_HEAD.search(names[0]) else ""
        raise UserError(
            f"model '{name}': the checkpoint lacks {counted(len(names), 'weight')}, such as {names[0]}, which would be "
            f"random; use a complete checkpoint{head}"
        )


def _refuse_unread(name: str, reader: GGUFReader, places: Mapping[str, str]) -> None:
    """Refuse tensors that transformers silently ignores (``rope_freqs.weight`` of Llama 3.1, biases).

    Raises:
        UserError: There is such a tensor.
    """
    unread = [each.name for each in reader.tensors if each.name != _HEAD and _place(each.name, places) is None]
    if unread:
        raise UserError(
            f"model '{name}': the GGUF file holds {counted(len(unread), 'tensor')} that transformers ignores, such "
            f"as {unread[0]}, so it would load as a different model; use the checkpoint that it was made from"
        )


def _refuse_other_sizes(name: str, reader: GGUFReader, places: Mapping[str, str], model: PreTrainedModel) -> None:
    """Refuse tensors whose number of weights differs from the model's; transformers may transpose them.

    Raises:
        UserError: There is such a tensor.
    """
    parameters = dict(model.named_parameters())
    for tensor in reader.tensors:
        is_merged = tensor.name == _HEAD or _EXPERTS.fullmatch(tensor.name)
        parameter = None if is_merged else parameters.get(places[tensor.name])
        if parameter is not None and parameter.numel() != int(tensor.n_elements):
            raise UserError(
                f"model '{name}': {tensor.name} has the shape {[int(size) for size in reversed(tensor.shape)]} in the "
                f"GGUF file, but {list(parameter.shape)} according to the file's settings as transformers reads them; "
                "use the checkpoint that the file was made from"
            )


def _places(name: str, reader: GGUFReader, model: PreTrainedModel) -> Mapping[str, str]:
    """Return the names in the model of the tensors that transformers reads, by their names in GGUF files."""
    processor = TENSOR_PROCESSORS.get(_architecture(reader), TensorProcessor)(config=model.config.to_dict())
    try:
        places: dict[str, str] = get_gguf_hf_weights_map(model, processor)
    except NotImplementedError as error:
        raise UserError(
            f"model '{name}': transformers cannot read this GGUF file ({one_line(error)}); use the checkpoint that it "
            "was made from"
        ) from error
    return places


def _missing(reader: GGUFReader, places: Mapping[str, str], model: PreTrainedModel) -> Iterator[str]:
    """Yield the parameters that the file has no tensor for, or only one of two tensors that are merged."""
    stored = {tensor.name for tensor in reader.tensors}
    found = {_place(name, places) for name in stored}
    optional = model._keys_to_ignore_on_load_missing or ()
    for name, _ in model.named_parameters():
        is_head = name == "lm_head.weight" and _HEAD in stored
        if name not in found and not is_head and not any(re.search(pattern, name) for pattern in optional):
            yield name
    # What is missing beside a merged tensor would be zero.
    for tensor, place in places.items():
        if _EXPERTS.fullmatch(tensor) and place in found and not stored & {tensor, f"{tensor}.weight"}:
            yield tensor


def _place(tensor: str, places: Mapping[str, str]) -> str | None:
    """Return the parameter that transformers reads a tensor into, perhaps with others; ``None`` if it ignores it."""
    experts = _EXPERTS.fullmatch(tensor)
    return places.get(experts[1] if experts else tensor, places.get(tensor))


def _apply_settings(name: str, reader: GGUFReader, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> None:
    """Refuse settings that transformers has no name for (scaled rotary embeddings, scales, windows).

    A few of these settings are applied here, to the model's configuration and the tokenizer.

    Raises:
        UserError: There is such a setting, or one that changes tokens.
    """
    architecture = _architecture(reader)
    settings = _stated(reader, f"{architecture}.")
    apply_settings(model.config, architecture, settings)
    if problem := next(differing_settings(model.config, settings), None):
        raise UserError(
            f"model '{name}': the GGUF file specifies {problem}, which transformers ignores, so it would load as "
            "a different model; use the checkpoint that it was made from"
        )
    with opening_tokenizer(name):
        problem = apply_vocabulary(tokenizer, _stated(reader, _VOCABULARY))
    if problem:
        raise UserError(f"model '{name}': the GGUF file {problem}; use the checkpoint that it was made from")


def _architecture(reader: GGUFReader) -> str:
    return _text(reader, "general.architecture")


def _text(reader: GGUFReader, field: str, otherwise: str = "") -> str:
    return str(reader.fields[field].contents()) if field in reader.fields else otherwise


def _stated(reader: GGUFReader, prefix: str) -> dict[str, Any]:
    """Return the fields of a GGUF file with a prefix, keyed by the rest of their names."""
    return {
        name.removeprefix(prefix): field.contents() for name, field in reader.fields.items() if name.startswith(prefix)
    }

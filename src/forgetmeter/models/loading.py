"""Loading a model, wherever it comes from."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from forgetmeter.errors import UserError
from forgetmeter.models.family import auto_class, family_of
from forgetmeter.models.gguf_conversion import converted, refuse_missing
from forgetmeter.models.loaded import Loaded
from forgetmeter.models.location import Location, locate
from forgetmeter.models.output_head import embedding_rows
from forgetmeter.models.pretrained import empty_model, load_config, open_model, open_tokenizer, without_dropout
from forgetmeter.models.stored_weights import (
    refuse_doubled_tensors,
    refuse_misread_weights,
    refuse_unread_tensors,
    stored_weight_bytes,
)
from forgetmeter.models.weight_map import weight_map
from forgetmeter.specs.model_reference import parse_model_reference

DType = Literal["float32", "bfloat16", "float16"]
Device = Literal["auto", "cpu", "cuda", "mps"]

_NEEDED = ("attention", "feed_forward")


def load(reference: str | Location, *, dtype: DType = "float32", device: Device = "auto") -> Loaded:
    """Load a model and its tokenizer.

    Args:
        reference: ``org/name[@revision]`` on the Hub, ``./folder``, ``./file.gguf`` or ``package:MODULE``;
            or where such a one was found.
        dtype: The dtype to compute in.
        device: Where to compute; ``auto`` takes CUDA, then MPS, then the CPU.

    Raises:
        UserError: The model is not there, is damaged, has no head or is of no supported architecture.
    """
    location = locate(parse_model_reference(reference)) if isinstance(reference, str) else reference
    folder, name = folder_of(location), str(location.reference)
    model = model_of(folder, name, dtype=getattr(torch, dtype))
    loaded = wrap(model.to(resolve_device(device)), load_tokenizer(location), name=name)
    return replace(loaded, weight_bytes=stored_weight_bytes(folder, model))


def wrap(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, *, name: str = "wrapped") -> Loaded:
    """Take a model that is in memory already.

    Raises:
        UserError: It is of no supported architecture, or the tokenizer is another model's.
    """
    check_supported(model, name)
    refuse_tokens_beyond_embedding(model, tokenizer, name)
    return Loaded(model.eval(), without_dropout(tokenizer), family_of(model.config, name), name)


def folder_of(location: Location) -> Path:
    """Return a folder that ``from_pretrained`` reads; a GGUF file is converted first."""
    return location.path if location.path.is_dir() else converted(location)


def load_tokenizer(location: Location) -> PreTrainedTokenizerBase:
    """Load a model's tokenizer alone.

    Raises:
        UserError: It is missing or damaged, or needs code of its own.
    """
    return open_tokenizer(folder_of(location), str(location.reference))


def skeleton(folder: Path, name: str | None = None) -> PreTrainedModel:
    """Return the model of a folder without its weights (on the ``meta`` device), to look at its shape.

    Raises:
        UserError: The configuration is of no family of language models.
    """
    name = name or str(folder)
    config = load_config(folder, name)
    return empty_model(name, auto_class(family_of(config, name)), config)


def check_loadable(location: Location) -> PreTrainedModel:
    """Check what can be checked of a model without reading its weights, and return its skeleton.

    Raises:
        UserError: The architecture is not supported, the tokenizer is missing or damaged, or the checkpoint's
            weights are not those that the configuration asks for.
    """
    folder, name = folder_of(location), str(location.reference)
    load_config(folder, name)
    tokenizer = load_tokenizer(location)
    shape = checked_skeleton(folder, name)
    refuse_tokens_beyond_embedding(shape, tokenizer, name)
    return shape


def checked_skeleton(folder: Path, name: str) -> PreTrainedModel:
    """Compare a checkpoint with its configuration, and return the model without its weights.

    Raises:
        UserError: The architecture is not supported, or the weights are not those that the configuration asks for.
    """
    shape = model_of(folder, name, device_map="meta")
    check_supported(shape, name)
    return shape


def model_of(folder: Path, name: str, **options: Any) -> PreTrainedModel:  # noqa: ANN401
    """Load a model; on the ``meta`` device, only the checkpoint's names and shapes are compared.

    Args:
        folder: Where it is.
        name: What to call it in errors.
        **options: As for ``from_pretrained``.

    Raises:
        UserError: It is damaged, or its weights are not those that its configuration asks for.
    """
    config = load_config(folder, name)
    kind = auto_class(family_of(config, name))
    refuse_misread_weights(folder, name)
    model, report = open_model(folder, name, kind, config, **options)
    _refuse_other_shapes(report["mismatched_keys"], name)
    refuse_missing(report["missing_keys"], name)
    refuse_unread_tensors(model, report["unexpected_keys"], name)
    refuse_doubled_tensors(folder, model, name)
    return model


def refuse_tokens_beyond_embedding(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, name: str = "wrapped"
) -> None:
    """Refuse a tokenizer that makes words of tokens for which the model has no embedding.

    Special tokens may lie beyond it (Gemma 3's text models have no row for their tokenizer's image token); a text that
    holds one is left out as it is asked.

    Raises:
        UserError: An ordinary token lies beyond the embedding.
    """
    rows = embedding_rows(model)
    added, special = tokenizer.added_tokens_decoder, set(tokenizer.all_special_ids)
    beyond = {
        token: number
        for token, number in tokenizer.get_vocab().items()
        if number >= rows and number not in special and not (number in added and added[number].special)
    }
    if beyond:
        token, number = min(beyond.items(), key=lambda each: each[1])
        raise UserError(
            f"model '{name}': its tokenizer has {len(beyond)} tokens beyond the model's {rows:,} embeddings, such as "
            f"{token!r} ({number}); give the tokenizer that the model was trained with"
        )


def _refuse_other_shapes(mismatched: Collection[Any], name: str) -> None:
    if mismatched:
        key, stored, wanted = sorted(mismatched)[0]
        raise UserError(
            f"model '{name}': {key} is {list(stored)} in the checkpoint, and {list(wanted)} by its config.json"
        )


def check_supported(model: PreTrainedModel, name: str) -> None:
    """Check that there is something in a model that recipes can work on.

    Raises:
        UserError: There is not.
    """
    found = {matrix.role.component for matrix in weight_map(model)}
    lacking = [component for component in _NEEDED if component not in found]
    if lacking and "unknown" not in found:
        roles = " and ".join(lacking).replace("_", "-")
        raise UserError(f"model '{name}' ({type(model).__name__}) has no weight matrices that are {roles}")


def resolve_device(device: Device) -> str:
    """Return the device that ``auto`` stands for on this machine, or the one named.

    Raises:
        UserError: The device named is not there.
    """
    there = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if device == "auto":
        return next(name for name in ("cuda", "mps", "cpu") if there[name])
    if not there[device]:
        raise UserError(f"device '{device}' is not there (available: {', '.join(n for n in there if there[n])})")
    return device

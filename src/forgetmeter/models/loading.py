"""Loads models from any source."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import get_args

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from forgetmeter.config.study import Device, DType
from forgetmeter.errors import UserError
from forgetmeter.models.checkpoint import Checkpoint, open_checkpoint
from forgetmeter.models.checks.model_checks import check_supported, refuse_not_numbers
from forgetmeter.models.checks.token_ids import refuse_impossible_tokens
from forgetmeter.models.family import family_of, refuse_other_class
from forgetmeter.models.loaded import Loaded
from forgetmeter.models.on_disk.stored_weights import stored_weight_bytes
from forgetmeter.models.safe_loading.pretrained import keep_weights_in_place, without_dropout
from forgetmeter.specs.suggestion import unknown


def load(reference: str | Path | Checkpoint, *, dtype: DType = "float32", device: Device = "auto") -> Loaded:
    """Load a model and its tokenizer.

    Args:
        reference: ``org/name[@revision]`` on the Hub, ``./folder``, ``./file.gguf``, ``package:MODULE`` or
            ``standard:FAMILY``; or a model that is already open.
        dtype: The dtype of computation.
        device: The device; ``auto`` selects CUDA, then MPS, then the CPU.

    Raises:
        UserError: The model does not exist, is damaged, has no head, or its architecture is not supported; or the dtype
            or device is unknown or not available.
    """
    if dtype not in get_args(DType):
        raise UserError(unknown("dtype", dtype, get_args(DType)))
    target = resolve_device(device)
    checkpoint = reference if isinstance(reference, Checkpoint) else open_checkpoint(reference)
    model = checkpoint.model(dtype=getattr(torch, dtype))
    loaded = wrap(model.to(target), checkpoint.tokenizer, name=checkpoint.name)
    return replace(loaded, weight_bytes=stored_weight_bytes(checkpoint.headers, checkpoint.quantization, model))


def wrap(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, *, name: str = "wrapped") -> Loaded:
    """Wrap a model that is already in memory.

    Raises:
        UserError: Its architecture or class is not supported, or the tokenizer belongs to another model.
    """
    for given, needed in ((model, PreTrainedModel), (tokenizer, PreTrainedTokenizerBase)):
        if not isinstance(given, needed):
            inside = next((each for each in ("_orig_mod", "module") if hasattr(given, each)), None)
            instead = f"; pass the model that it wraps (its .{inside})" if inside else ""
            kind = type(given).__name__
            raise UserError(f"model '{name}': {kind} is not a transformers {needed.__name__}{instead}")
    family = family_of(model.config, name)
    refuse_other_class(type(model), family, name)
    check_supported(model, name)
    refuse_not_numbers(model, name)
    refuse_impossible_tokens(model, tokenizer, family, name)
    keep_weights_in_place(model)
    return Loaded(model.eval(), without_dropout(tokenizer), family, name)


def resolve_device(device: Device) -> str:
    """Return the named device, or the one that ``auto`` selects on this machine.

    Raises:
        UserError: The named device is unknown or not available.
    """
    if device not in get_args(Device):
        raise UserError(unknown("device", device, get_args(Device)))
    there = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if device == "auto":
        return next(name for name in ("cuda", "mps", "cpu") if there[name])
    if not there[device]:
        raise UserError(f"device '{device}' is not available; use {', '.join(n for n in there if there[n])} or auto")
    return device

"""Loading a model, wherever it comes from."""

from __future__ import annotations

from dataclasses import replace

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from forgetmeter.config.study import Device, DType
from forgetmeter.errors import UserError
from forgetmeter.models.checkpoint import (
    Checkpoint,
    check_supported,
    open_checkpoint,
    refuse_tokens_beyond_embedding,
)
from forgetmeter.models.family import family_of
from forgetmeter.models.loaded import Loaded
from forgetmeter.models.pretrained import without_dropout
from forgetmeter.models.stored_weights import stored_weight_bytes


def load(reference: str | Checkpoint, *, dtype: DType = "float32", device: Device = "auto") -> Loaded:
    """Load a model and its tokenizer.

    Args:
        reference: ``org/name[@revision]`` on the Hub, ``./folder``, ``./file.gguf`` or ``package:MODULE``;
            or such a model that is open already.
        dtype: The dtype to compute in.
        device: Where to compute; ``auto`` takes CUDA, then MPS, then the CPU.

    Raises:
        UserError: The model is not there, is damaged, has no head or is of no supported architecture.
    """
    checkpoint = open_checkpoint(reference) if isinstance(reference, str) else reference
    model = checkpoint.model(dtype=getattr(torch, dtype))
    loaded = wrap(model.to(resolve_device(device)), checkpoint.tokenizer, name=checkpoint.name)
    return replace(loaded, weight_bytes=stored_weight_bytes(checkpoint.headers, checkpoint.quantization, model))


def wrap(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, *, name: str = "wrapped") -> Loaded:
    """Take a model that is in memory already.

    Raises:
        UserError: It is of no supported architecture, or the tokenizer is another model's.
    """
    check_supported(model, name)
    refuse_tokens_beyond_embedding(model, tokenizer, name)
    return Loaded(model.eval(), without_dropout(tokenizer), family_of(model.config, name), name)


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

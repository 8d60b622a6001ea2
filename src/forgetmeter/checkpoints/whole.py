"""Compressing a checkpoint whose weights only transformers can put together: the model is whole in memory."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from transformers import PreTrainedModel
from transformers.utils import logging

from forgetmeter.checkpoints.request import Request
from forgetmeter.checkpoints.source import Source
from forgetmeter.compression.applying.compressor import Compressor
from forgetmeter.compression.surgery.installation import install
from forgetmeter.models.family import family_of
from forgetmeter.models.loaded import Loaded
from forgetmeter.models.loading import model_of
from forgetmeter.models.weight_files import weight_files
from forgetmeter.records.variant import Reached


def write_whole(request: Request, source: Source, partial: Path) -> tuple[Reached, tuple[Path, ...]]:
    """Load a model, compress it, and have transformers save it in the form in which it was.

    Args:
        request: What to do; it was checked.
        source: The checkpoint.
        partial: The folder to write to.

    Returns:
        What was reached, and the files of weights.

    Raises:
        UserError: A matrix holds values that a method cannot work on.
        OSError: The disk is full, or fails.
    """
    model, reached = compressed_in_memory(request, source, computing_dtype(request, source))
    logging.disable_progress_bar()
    model.save_pretrained(partial, max_shard_size=request.max_shard_bytes)
    return reached, weight_files(partial)


def compressed_in_memory(request: Request, source: Source, dtype: torch.dtype) -> tuple[PreTrainedModel, Reached]:
    """Load a model whole, and compress it.

    Args:
        request: What to do; it was checked.
        source: The checkpoint.
        dtype: The dtype of the model.

    Raises:
        UserError: A matrix holds values that a method cannot work on.
    """
    name = str(request.model)
    model = model_of(source.folder, name, dtype=request.dtype or dtype).to(dtype)
    tokenizer: Any = None  # compression never looks at it
    loaded = Loaded(model.eval(), tokenizer, family_of(model.config, name), name)
    compressed = Compressor(loaded, seed=request.seed).compressed(request.recipe)
    install(model, compressed.weights)
    return model, compressed.reached


def computing_dtype(request: Request, source: Source) -> torch.dtype:
    """Return the dtype in which a checkpoint is compressed: the one it is cast to, or that of its first weights."""
    stored = (entry.stored.dtype for entry in source.entries.values() if entry.stored.dtype.is_floating_point)
    return request.dtype or next(stored)

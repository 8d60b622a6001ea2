"""Compressing a checkpoint whose weights only transformers can put together: the model is whole in memory."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from transformers.utils import logging

from forgetmeter.checkpoints.request import Request
from forgetmeter.checkpoints.source import Source, checkpoint_files
from forgetmeter.compression.compressor import Compressor
from forgetmeter.compression.installation import install
from forgetmeter.models.family import family_of
from forgetmeter.models.loaded import Loaded
from forgetmeter.models.loading import model_of
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
    name = str(request.model)
    stored = next(entry.stored.dtype for entry in source.entries.values() if entry.stored.dtype.is_floating_point)
    model = model_of(source.folder, name, dtype=request.dtype or stored)
    tokenizer: Any = None  # compression never looks at it
    loaded = Loaded(model.eval(), tokenizer, family_of(model.config, name), name)
    compressed = Compressor(loaded, seed=request.seed).compressed(request.recipe)
    install(model, compressed.weights)
    logging.disable_progress_bar()
    model.save_pretrained(partial, max_shard_size=request.max_shard_bytes)
    return compressed.reached, checkpoint_files(partial)

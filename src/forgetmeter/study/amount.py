"""Estimates how much a study's cells have to read, before any of them starts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import cache
from math import ceil

from forgetmeter.compression.registry import rounds_activations
from forgetmeter.models.checkpoint import Checkpoint
from forgetmeter.models.loaded import Loaded
from forgetmeter.records.cell import Cell
from forgetmeter.records.item import Item, Task
from forgetmeter.scoring.batch_invariance.limits import Sharing
from forgetmeter.scoring.engine import Engine
from forgetmeter.specs.model_reference import ModelReference
from forgetmeter.study.checked_study import CheckedStudy

_APART = Sharing(branches=0, lengths=0)
"""What rows share if activations are rounded, with a range for each text."""
_SAMPLE, _RUN = 128, 16
"""Number of a task's items to tokenize, in runs of neighbours, which often have words and so tokens in common."""


def tokens_to_read(checked: CheckedStudy, tasks: Mapping[str, Task]) -> dict[Cell, int]:
    """Estimate how many tokens each cell to score reads, and writes at most, from a sample of its task's items.

    The sample is prepared as for scoring, without the model's weights. Tasks that cannot be asked have no
    estimate, and neither have engines.
    """
    found: dict[tuple[ModelReference, str, bool], int] = {}
    tokens = {}
    rounding = cache(rounds_activations)
    for cell in checked.to_score():
        is_apart = rounding(cell.variant.recipe)
        key = (cell.variant.source, cell.task, is_apart)
        if key not in found:
            checkpoint = checked.checkpoints.get(cell.variant.source)
            found[key] = 0 if checkpoint is None else _tokens(checkpoint, tasks[cell.task].items, is_apart=is_apart)
        if found[key]:
            tokens[cell] = found[key]
    return tokens


def _tokens(checkpoint: Checkpoint, items: Sequence[Item], *, is_apart: bool) -> int:
    step = max(_RUN, ceil(len(items) * _RUN / _SAMPLE))
    sample = [item for start in range(0, len(items), step) for item in items[start : start + _RUN]]
    # An error recurs when the cell is scored, and is stored with it.
    with suppress(Exception):
        loaded = Loaded(checkpoint.skeleton, checkpoint.tokenizer, checkpoint.family, checkpoint.name)
        return round(
            Engine(loaded, most=_APART if is_apart else None).prepare(sample).tokens * len(items) / len(sample)
        )
    return 0

"""Engines that compare the variants of a model with their baselines."""

from __future__ import annotations

import copy
from collections.abc import Iterable
from dataclasses import replace
from itertools import chain

from transformers import PreTrainedModel

from forgetmeter.executors.executor import Work
from forgetmeter.models.loaded import Loaded
from forgetmeter.models.loading import load
from forgetmeter.records.cell import Cell, Variant
from forgetmeter.records.item import is_compared
from forgetmeter.scoring.batch_invariance.limits import Sharing
from forgetmeter.scoring.comparing_engine import ComparingEngine
from forgetmeter.specs.model_reference import ModelReference


class Comparisons:
    """Engines for the variants that are made from one loaded model, created on first use.

    The baseline of a recipe is a copy that shares the model's own tensors, and so needs no memory. That of a candidate
    is loaded as well.
    """

    def __init__(self, work: Work, loaded: Loaded, cells: Iterable[Cell]) -> None:
        self._work = work
        self._loaded = loaded
        self._engines: dict[tuple[ModelReference | None, Sharing], ComparingEngine] = {}
        is_wanted = any(
            cell.variant.source == cell.variant.model and is_compared(work.tasks[cell.task].items) for cell in cells
        )
        # Copied before anything is installed in the model.
        self._own = replace(loaded, model=shared_copy(loaded.model)) if is_wanted else None

    def engine(self, variant: Variant, sharing: Sharing) -> ComparingEngine:
        """Return the engine for the installed variant, whose rows may share; a baseline is compared with itself."""
        key = None if variant.recipe.is_baseline else variant.model, sharing
        if key not in self._engines:
            batch_tokens = self._work.evaluation.batch_tokens
            self._engines[key] = ComparingEngine(self._loaded, self._baseline(variant), batch_tokens=batch_tokens)
        return self._engines[key]

    def _baseline(self, variant: Variant) -> Loaded | None:
        if variant.recipe.is_baseline:
            return None
        if variant.source == variant.model:
            return self._own
        evaluation = self._work.evaluation
        return load(self._work.checkpoints[variant.model], dtype=evaluation.dtype, device=evaluation.device)


def shared_copy(model: PreTrainedModel) -> PreTrainedModel:
    """Return a copy of a model whose parameters and buffers are the model's own tensors.

    Parameters, layers and blocks that are replaced in the model afterwards stay the original ones in the copy.
    """
    tensors = chain(model.parameters(), model.buffers())
    twin: PreTrainedModel = copy.deepcopy(model, {id(tensor): tensor for tensor in tensors})
    return twin

"""Runs cells in one process with one model in memory at a time, installing and undoing each variant."""

from __future__ import annotations

import time
import traceback
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import asdict, replace
from functools import partial
from itertools import groupby

import torch
from transformers import PreTrainedModel

from forgetmeter.compression.applying.compressor import Compressed, Compressor
from forgetmeter.engines.external_engine import ExternalEngine
from forgetmeter.errors import UserError
from forgetmeter.executors.calibration import calibration_for
from forgetmeter.executors.cell_answers import CellAnswers
from forgetmeter.executors.comparisons import Comparisons
from forgetmeter.executors.executor import Progress, Work
from forgetmeter.executors.stopping import Stopping
from forgetmeter.models.loaded import Loaded
from forgetmeter.models.loading import load
from forgetmeter.models.roles.weight_map import weight_map
from forgetmeter.records.cell import Cell, Variant
from forgetmeter.records.item import Task, is_compared, judged
from forgetmeter.records.noise import Noise, noise_between
from forgetmeter.records.outcome import Outcome
from forgetmeter.records.variant import Reached
from forgetmeter.runs.run_store import UnwritableError
from forgetmeter.scoring.engine import Engine
from forgetmeter.scoring.question import Prepared
from forgetmeter.scoring.reused_states import ReusedStates, block_list, unchanged_blocks
from forgetmeter.specs.model_reference import ModelReference
from forgetmeter.specs.recipe import Recipe

Scoring = Engine | ExternalEngine
# A quarter: rows get different neighbours, and usually matrices of a different height.
_SHARE = 4
_SMALL = 5_000_000
"""Parameters below which sharing a matrix product costs more than it saves (docs/decisions/014-threads.md)."""


class LocalExecutor:
    """Runs cells in this process."""

    def execute(self, work: Work, progress: Progress) -> None:
        """Run all cells, model by model and variant by variant; a candidate is a model of its own.

        Raises:
            UserError: The only model cannot be loaded or scored; of several models, only its cells fail. Or the run
                cannot be written to.
        """
        groups: dict[ModelReference, list[Cell]] = {}
        for cell in work.cells:
            groups.setdefault(cell.variant.source, []).append(cell)
        for model, cells in groups.items():
            try:
                if model in work.engines:
                    _EngineWork(work, progress, work.engines[model]).run(cells)
                    continue
                progress.stage(f"loading {model}")
                evaluation = work.evaluation
                loaded = load(work.checkpoints[model], dtype=evaluation.dtype, device=evaluation.device)
                with threads_for(loaded.model):
                    _ModelWork(work, progress, loaded, cells).run(cells)
            except UserError as error:
                if len(groups) == 1 or isinstance(error, UnwritableError):
                    raise
                for cell in cells:
                    fail(work, progress, cell, error)


class _CellWork:
    """The cells of one model or engine; prepares each task, or part of a task, once."""

    def __init__(self, work: Work, progress: Progress) -> None:
        self._work = work
        self._progress = progress
        self._prepared: dict[tuple[Scoring, str, tuple[int, ...]], Prepared] = {}

    def run(self, cells: Sequence[Cell]) -> None:
        """Run the cells of each variant while it is installed; a variant that cannot be is stored as failed."""
        for variant, group in groupby(cells, key=lambda cell: cell.variant):
            of_variant = list(group)
            with self._stored_if_failed(of_variant), self._installed(variant):
                for cell in of_variant:
                    with self._stored_if_failed([cell]):
                        self._run_cell(cell)

    def _installed(self, variant: Variant) -> AbstractContextManager[None]:
        """Install a variant and store it; undone at the end."""
        raise NotImplementedError

    def _engine(self, cell: Cell) -> Scoring:
        """Return what scores a cell."""
        raise NotImplementedError

    @contextmanager
    def _stored_if_failed(self, cells: Sequence[Cell]) -> Iterator[None]:
        try:
            yield
        except UnwritableError:
            # Neither the failure nor any other cell could be stored.
            raise
        except Exception as error:  # noqa: BLE001 - stored with the cells, reported at the end, retried next time
            for cell in cells:
                fail(self._work, self._progress, cell, error)

    def _run_cell(self, cell: Cell) -> None:
        work, task = self._work, self._work.tasks[cell.task]
        if work.store.is_done(cell, precision=work.evaluation.precision):
            # Another process of the same run finished it first, or only its noise, variant or items were missing.
            self._store_noise(cell, None)
            self._progress.cell_kept(cell)
            return
        self._progress.cell_started(cell, items=len(task.items))
        engine, stopping = self._engine(cell), self._stopping(cell)
        asked = CellAnswers(task)
        for part in [range(len(task.items))] if stopping is None else stopping.parts():
            prepared = self._prepare(engine, cell.task, part)
            start = time.perf_counter()
            advanced = partial(self._advanced, cell, asked.share, len(part) / max(len(task.items), 1))
            answers = engine.score(prepared, on_advance=advanced)
            asked.add(part, prepared, answers, seconds=time.perf_counter() - start)
            if stopping is not None and stopping.is_known(asked.judgement().outcomes):
                break
        judgement = asked.judgement()
        items_hash = work.store.read_items_hash(cell.task)
        facts = asked.facts(judgement, items_hash=items_hash, precision=work.evaluation.precision)
        work.store.write_outcomes(cell, judgement.outcomes, asdict(facts))
        self._store_noise(cell, judgement.outcomes)
        self._progress.cell_finished(cell, seconds=facts.seconds)

    def _advanced(self, cell: Cell, before: float, part: float, share: float) -> None:
        self._progress.cell_advanced(cell, share=before + part * share)

    def _prepare(self, engine: Scoring, task: str, part: Sequence[int]) -> Prepared:
        key = engine, task, tuple(part)
        if key not in self._prepared:
            items = self._work.tasks[task].items
            self._prepared[key] = engine.prepare([items[place] for place in part])
        return self._prepared[key]

    def _stopping(self, cell: Cell) -> Stopping | None:
        """Return when to stop asking; ``None`` to ask everything, as a baseline is."""
        work = self._work
        if work.evaluation.precision is None or cell.variant.recipe.is_baseline:
            return None
        before = work.store.read_correct(str(cell.variant.model), cell.task)
        if not before:
            return None
        items = work.tasks[cell.task].items
        return Stopping(items, before, precision=work.evaluation.precision, seed=work.evaluation.seed)

    def _store_noise(self, cell: Cell, outcomes: Sequence[Outcome] | None) -> None:
        """Store the noise floor of a cell, if it is wanted and known; that of a candidate is never needed."""


class _ModelWork(_CellWork):
    """The cells of one model, which is loaded."""

    def __init__(self, work: Work, progress: Progress, loaded: Loaded, cells: Sequence[Cell]) -> None:
        super().__init__(work, progress)
        self._loaded = loaded
        recipes = {cell.variant.recipe for cell in cells}
        calibration = calibration_for(loaded, recipes)
        self._compressor = Compressor(loaded, seed=work.evaluation.seed, calibration=calibration)
        self._reused = self._reusable(recipes)
        self._own = Engine(loaded, batch_tokens=work.evaluation.batch_tokens, reused=self._reused)
        self._comparisons = Comparisons(work, loaded, cells)

    def _reusable(self, recipes: Iterable[Recipe]) -> ReusedStates | None:
        """Return where to keep states between blocks; ``None`` if every recipe changes the first block."""
        matrices = weight_map(self._loaded.model)
        if (blocks := block_list(matrices)) is None:
            return None
        self._blocks = 1 + max(matrix.block[1] for matrix in matrices if matrix.block is not None)
        of_recipes = (self._compressor.changed(recipe) for recipe in recipes if recipe.steps)
        boundaries = {unchanged_blocks(changed, self._blocks) for changed in of_recipes} - {0}
        return ReusedStates(blocks, boundaries) if boundaries else None

    @contextmanager
    def _installed(self, variant: Variant) -> Iterator[None]:
        self._progress.stage(f"compressing {variant.recipe}")
        with self._compressor.applied(variant.recipe) as compressed:
            self._store_variant(variant, compressed)
            if self._reused is not None:
                dropped = {matrix.block for matrix, weight in compressed.weights.items() if weight.is_dropped}
                changed = self._compressor.changed(variant.recipe, dropped)
                self._reused.unchanged = unchanged_blocks(changed, self._blocks)
            yield

    def _engine(self, cell: Cell) -> Scoring:
        is_pair = is_compared(self._work.tasks[cell.task].items)
        return self._comparisons.engine(cell.variant) if is_pair else self._own

    def _store_variant(self, variant: Variant, compressed: Compressed) -> None:
        reached = compressed.reached
        if variant.recipe.candidate is not None and not variant.recipe.steps:
            stored = self._work.checkpoints[variant.source].stored_bytes
            reached = replace(reached, quantized_bytes=stored, smallest_bytes=stored)
        self._work.store.write_variant(variant, reached, {"compress_seconds": compressed.seconds})

    def _store_noise(self, cell: Cell, outcomes: Sequence[Outcome] | None) -> None:
        if self._work.store.needs_noise(cell, is_wanted=self._work.evaluation.noise_floor):
            self._progress.stage(f"scoring {cell.task} again for the noise floor")
            batch_tokens = self._work.evaluation.batch_tokens
            task = self._work.tasks[cell.task]
            if is_compared(task.items):
                # The outcomes themselves are the noise, and nothing in them is right or wrong.
                noise = noise_between((), (), batch_tokens=(self._own.batch_tokens,) * 2)
            else:
                noise = measure_noise(self._loaded, task, batch_tokens=batch_tokens, first=outcomes)
            self._work.store.write_noise(cell, noise)


class _EngineWork(_CellWork):
    """The cells of a candidate that another runtime answers."""

    def __init__(self, work: Work, progress: Progress, engine: ExternalEngine) -> None:
        super().__init__(work, progress)
        self._external = engine

    @contextmanager
    def _installed(self, variant: Variant) -> Iterator[None]:
        self._progress.stage(f"asking {self._external.name}")
        size = self._external.stored_bytes
        reached = None if size is None else Reached({}, 0, 0, 0, size, size, size, simulated=False, smallest_bytes=size)
        self._work.store.write_variant(variant, reached, {})
        yield

    def _engine(self, cell: Cell) -> Scoring:  # noqa: ARG002 - it answers all
        return self._external


def fail(work: Work, progress: Progress, cell: Cell, error: Exception) -> None:
    """Store and report the failure of a cell."""
    text = f"{type(error).__name__}: {error}"
    work.store.write_failure(cell, text, "".join(traceback.format_exception(error)))
    progress.cell_failed(cell, error=text)


@contextmanager
def threads_for(model: PreTrainedModel) -> Iterator[None]:
    """Use one thread for a small model, and torch's number of threads for any other."""
    before = torch.get_num_threads()
    if model.num_parameters() < _SMALL:
        torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def measure_noise(
    loaded: Loaded, task: Task, *, batch_tokens: int | None, first: Sequence[Outcome] | None = None
) -> Noise:
    """Measure the noise floor: score a task again in smaller batches, and compare.

    Args:
        loaded: The model.
        task: The task.
        batch_tokens: Limit of tokens per batch in the first scoring; by default, it depends on the device.
        first: The outcomes of the first scoring; computed here if missing.
    """
    engine = Engine(loaded, batch_tokens=batch_tokens)
    smaller = Engine(loaded, batch_tokens=max(1, engine.batch_tokens // _SHARE))
    if first is None:
        first = _outcomes(engine, task)
    return noise_between(first, _outcomes(smaller, task), batch_tokens=(engine.batch_tokens, smaller.batch_tokens))


def _outcomes(engine: Engine, task: Task) -> Sequence[Outcome]:
    return judged(task, engine.score(engine.prepare(task.items))).outcomes

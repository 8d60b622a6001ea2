"""Runs cells in one process with one model in memory at a time, installing and undoing each variant."""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import asdict, replace
from functools import cached_property, partial
from itertools import chain, groupby

import torch
from torch import nn
from transformers import PreTrainedModel

from forgetmeter.basics.plural import counted
from forgetmeter.basics.processor import processor_name
from forgetmeter.compression.applying.compressor import Compressed, Compressor
from forgetmeter.compression.applying.recipe_problems import needs_activations
from forgetmeter.compression.forms.weight import dropped_among
from forgetmeter.compression.registry import rounds_activations
from forgetmeter.engines.external_engine import ExternalEngine
from forgetmeter.errors import Terminated, UserError
from forgetmeter.executors.calibration import calibration_facts, calibration_for
from forgetmeter.executors.cell_answers import CellAnswers
from forgetmeter.executors.comparisons import Comparisons
from forgetmeter.executors.executor import CellUnit, Progress, Read, Work
from forgetmeter.executors.stopping import Stopping
from forgetmeter.models.loaded import Loaded
from forgetmeter.models.loading import load
from forgetmeter.models.location import Stamps
from forgetmeter.records.cell import Cell, Variant
from forgetmeter.records.item import Task, is_compared, judged, valid_items
from forgetmeter.records.noise import Noise, noise_between
from forgetmeter.records.outcome import Outcome
from forgetmeter.records.variant import Reached
from forgetmeter.runs.run_store import UnwritableError
from forgetmeter.runs.tables.items_table import items_hash
from forgetmeter.scoring.arithmetic import are_used_once, product_rate
from forgetmeter.scoring.engine import Engine
from forgetmeter.scoring.question import Prepared
from forgetmeter.scoring.reused_states import IN_FILES, IN_MEMORY, ReusedStates, block_list, unchanged_blocks
from forgetmeter.specs.model_reference import ModelReference
from forgetmeter.specs.role import Block, Matrix

Scoring = Engine | ExternalEngine
OnShare = Callable[[CellUnit, Read], object]
"""Receives what was read of a share."""
# A quarter: rows get different neighbours, and usually matrices of a different height.
_SHARE = 4
_SMALL = 5_000_000
"""Parameters below which sharing a matrix product costs more than it saves (docs/decisions/014-threads.md)."""


class LocalExecutor:
    """Runs cells in this process.

    Args:
        processes: Number of processes that run cells on this machine at the same time.
    """

    def __init__(self, *, processes: int = 1) -> None:
        self._processes = processes

    def execute(self, work: Work, progress: Progress) -> None:
        """Run all cells, model by model and variant by variant; a candidate is a model of its own.

        Raises:
            UserError: The only model cannot be loaded or scored (with several models, only the cells of that one fail),
                or the run cannot be written to.
        """
        self.execute_units(work, map(CellUnit, by_variant(work.cells)), progress)

    def execute_units(
        self, work: Work, units: Iterable[CellUnit], progress: Progress, *, on_share: OnShare | None = None
    ) -> None:
        """Run some of the cells.

        Args:
            work: All cells that are run, here and elsewhere.
            units: Those to run here; read one after the other.
            progress: Progress listener.
            on_share: Receives what was read of a share.

        Raises:
            UserError: As for ``execute``.
        """
        models = {cell.variant.source for cell in work.cells}
        for model, of_model in groupby(units, key=lambda unit: unit.cells[0].variant.source):
            try:
                with self._model_work(work, progress, model) as runner:
                    for unit in of_model:
                        if (read := runner.run(unit)) is not None and on_share is not None:
                            on_share(unit, read)
            except UserError as error:
                if len(models) == 1 or isinstance(error, UnwritableError):
                    raise
                for cell in chain.from_iterable(unit.cells for unit in of_model):
                    fail(work, progress, cell, error)

    @contextmanager
    def _model_work(self, work: Work, progress: Progress, model: ModelReference) -> Iterator[_CellWork]:
        if model in work.engines:
            yield _EngineWork(work, progress, work.engines[model])
            return
        progress.stage(f"loading {model}")
        evaluation, start = work.evaluation, time.perf_counter()
        loaded = load(work.checkpoints[model], dtype=evaluation.dtype, device=evaluation.device)
        # Answers are stored under the identity of the files that were checked.
        work.checkpoints[model].location.refuse_changed()
        stamps = work.checkpoints[model].location.stamps_now()
        cells = [cell for cell in work.cells if cell.variant.source == model]
        with threads_for(loaded.model):
            facts: dict[str, float | str] = {"load_seconds": time.perf_counter() - start, "family": loaded.family}
            if model == cells[0].variant.model:
                facts["parameters"] = sum(each.numel() for each in loaded.model.parameters())
            if evaluation.profile:
                facts["product_rate"] = product_rate(loaded.model.dtype, loaded.model.device)
            yield _ModelWork(work, progress, loaded, cells, processes=self._processes, facts=facts, stamps=stamps)


def by_variant(cells: Iterable[Cell]) -> list[list[Cell]]:
    """Return the cells of each variant, model by model."""
    models: dict[ModelReference, dict[Variant, list[Cell]]] = {}
    for cell in cells:
        models.setdefault(cell.variant.source, {}).setdefault(cell.variant, []).append(cell)
    return [unit for variants in models.values() for unit in variants.values()]


class _CellWork:
    """The cells of one model or engine; prepares each task, or part of a task, once."""

    def __init__(self, work: Work, progress: Progress) -> None:
        self._work = work
        self._progress = progress
        self._prepared: dict[tuple[Scoring, str, tuple[int, ...]], Prepared] = {}
        self._hashes: dict[str, str] = {}
        self._stoppings: dict[tuple[ModelReference, str], Stopping | None] = {}

    def run(self, unit: CellUnit) -> Read | None:
        """Run cells while their variant is installed; if it cannot be, that is stored as the failure of each.

        Returns:
            The readings, if the unit is a share of a cell, and reading does not fail.
        """
        read = None
        with self._stored_if_failed(unit.cells), self._installed(unit.cells[0].variant):
            for cell in unit.cells:
                with self._stored_if_failed([cell]):
                    if unit.share is None:
                        self._run_cell(cell, unit.read or Read())
                    else:
                        read = self._read_share(cell, *unit.share)
        return read

    def _read_share(self, cell: Cell, number: int, shares: int) -> Read:
        """Read some of the batches of a cell; those that are missing are read by the worker that runs it."""
        engine = self._engine(cell)
        if self._work.store.is_done(cell) or not isinstance(engine, Engine):
            return Read()
        items = self._work.tasks[cell.task].items
        self._progress.cell_started(cell, items=len(items))
        prepared = self._prepare(engine, cell.task, range(len(items)), is_whole=True)
        start = time.perf_counter()
        batches = engine.read_share(prepared, number, shares)
        return Read(batches, time.perf_counter() - start, self._is_timed)

    def _installed(self, variant: Variant) -> AbstractContextManager[None]:
        """Install a variant and store it; undone at the end."""
        raise NotImplementedError

    def _engine(self, cell: Cell) -> Scoring:
        """Return what scores a cell."""
        raise NotImplementedError

    def _check_unchanged(self) -> None:
        """Check that what was loaded is still what the answers are stored under."""

    @contextmanager
    def _stored_if_failed(self, cells: Sequence[Cell]) -> Iterator[None]:
        try:
            yield
        except (UnwritableError, Terminated):
            # Neither the failure nor any other cell could be stored.
            raise
        # Stored with the cells, reported at the end, retried next time.
        except (Exception, SystemExit) as error:  # noqa: BLE001
            for cell in cells:
                fail(self._work, self._progress, cell, error)

    def _run_cell(self, cell: Cell, read: Read) -> None:
        work, task = self._work, self._work.tasks[cell.task]
        if work.store.is_done(cell, stop=work.stop):
            # Another process of the same run finished it first, or only its noise, variant or items were missing.
            self._store_noise(cell, None)
            self._progress.cell_kept(cell)
            return
        self._progress.cell_started(cell, items=len(task.items))
        engine, stopping = self._engine(cell), self._stopping(cell)
        asked, number, met = CellAnswers(task), 0, None
        parts = [range(len(task.items))] if stopping is None else list(stopping.parts())
        for part in parts:
            start = time.perf_counter()
            prepared = self._prepare(engine, cell.task, part, is_whole=stopping is None)
            before, start = time.perf_counter() - start, time.perf_counter()
            advanced = partial(self._advanced, cell, asked.share, len(part) / max(len(task.items), 1))
            most = engine.batch_tokens
            with engine.knowing(read.batches) if isinstance(engine, Engine) else nullcontext():
                answers = engine.score(prepared, on_advance=advanced)
            if engine.batch_tokens != most:
                self._progress.stage(f"memory ran out: batches have at most {engine.batch_tokens:,} tokens from now on")
                self._prepared.clear()
                prepared = self._prepare(engine, cell.task, part, is_whole=stopping is None)
            asked.add(part, prepared, answers, seconds=read.seconds + time.perf_counter() - start, before=before)
            number += len(part)
            if stopping is not None and part is not parts[-1]:
                met = stopping.met(asked.outcomes(), asked=number)
            if met is not None:
                break
        judgement = asked.judgement()
        facts = asked.facts(
            judgement,
            items_hash=self._items_hash(cell.task),
            calibration=self._calibration if needs_activations(cell.variant.recipe) else None,
            stop=met,
            margin=None if stopping is None else stopping.rule.margin,
            is_timed=self._is_timed and read.is_timed,
            matrices=self._matrices,
            computed_on=self._computed_on,
        )
        document = asdict(facts)
        if now := work.store.replaced_by(cell.task, document):
            raise UnwritableError(
                f"the run at '{work.store.location}' was replaced by another while this one went on: it now holds "
                f"{now}; these answers were not stored; run the study again with another --out"
            )
        if stopping is not None and work.store.is_done(cell, stop=work.stop):
            # In the meantime, another process has asked all items, or as many.
            self._progress.cell_kept(cell)
            return
        self._check_unchanged()
        work.store.write_outcomes(cell, judgement.outcomes, document)
        self._store_noise(cell, judgement.outcomes)
        self._progress.cell_finished(cell, seconds=facts.seconds)

    def _items_hash(self, task: str) -> str:
        """Return the hash of the items that were asked."""
        if task not in self._hashes:
            self._hashes[task] = items_hash(valid_items(self._work.tasks[task]))
        return self._hashes[task]

    @property
    def _calibration(self) -> Mapping[str, str | int] | None:
        """The text that methods were calibrated on, and how it was drawn; ``None`` if none needs one."""
        return None

    @property
    def _is_timed(self) -> bool:
        """Whether the variant's time is that of all of its computation."""
        return True

    @property
    def _matrices(self) -> Sequence[Matrix] | None:
        """The matrices that the installed variant computes with once; ``None`` if it has others, or is not here."""
        return None

    @property
    def _computed_on(self) -> str | None:
        """The hardware that computes; ``None`` if another runtime answers."""
        return None

    def _advanced(self, cell: Cell, before: float, part: float, share: float) -> None:
        self._progress.cell_advanced(cell, share=before + part * share)

    def _prepare(self, engine: Scoring, task: str, part: Sequence[int], *, is_whole: bool) -> Prepared:
        key = engine, task, tuple(part)
        if key not in self._prepared:
            items = [self._work.tasks[task].items[place] for place in part]
            # All items of a part may be too long for a candidate.
            self._prepared[key] = engine.prepare(items) if is_whole else engine.prepare_part(items)
        return self._prepared[key]

    def _stopping(self, cell: Cell) -> Stopping | None:
        """Return when to stop asking; ``None`` to ask everything, as a baseline is."""
        work = self._work
        recipe = cell.variant.recipe
        if work.stop is None or recipe.is_baseline:
            return None
        # The same for all variants of a model.
        key = cell.variant.model, cell.task
        if key not in self._stoppings and (before := work.store.read_correct(str(cell.variant.model), cell.task)):
            stopping = Stopping(work.tasks[cell.task].items, before, rule=work.stop, seed=work.evaluation.seed)
            # A few relations cannot decide at any time what they decide together: such a task is asked in full.
            is_hopeless = work.stop.margin is not None and stopping.is_by_relation
            self._stoppings[key] = None if is_hopeless else stopping
        return self._stoppings.get(key)

    def _store_noise(self, cell: Cell, outcomes: Sequence[Outcome] | None) -> None:
        """Store the noise floor of a cell, if it is wanted and known; that of a candidate is never needed."""


class _ModelWork(_CellWork):
    """The cells of one model, which is loaded."""

    def __init__(
        self,
        work: Work,
        progress: Progress,
        loaded: Loaded,
        cells: Sequence[Cell],
        *,
        processes: int,
        facts: Mapping[str, float | str],
        stamps: Stamps,
    ) -> None:
        super().__init__(work, progress)
        self._loaded, self._stamps = loaded, stamps
        self._location = work.checkpoints[cells[0].variant.source].location
        # Stored with the first variant.
        self._facts = facts
        self._dropped: set[Block] = set()
        self._processes = processes
        recipes = {cell.variant.recipe for cell in cells}
        calibration = calibration_for(loaded, recipes, work.evaluation.calibration)
        self._text = calibration_facts(work.evaluation.calibration, loaded.name) if calibration else None
        self._compressor = Compressor(loaded, seed=work.evaluation.seed, calibration=calibration)
        self._are_used_once = are_used_once(self._compressor.matrices, loaded.model)
        self._reused = self._reusable(cells)
        self._own = Engine(loaded, batch_tokens=work.evaluation.batch_tokens, reused=self._reused)
        self._engines = {self._own.shared: self._own}
        self._installed_engine = self._own
        self._comparisons = Comparisons(work, loaded, cells)

    @property
    def _calibration(self) -> Mapping[str, str | int] | None:
        return self._text

    def _check_unchanged(self) -> None:
        """Check that the model's files, to which its weights may be mapped, are as they were when it was loaded.

        Raises:
            UserError: They are not.
        """
        if self._location.stamps_now() != self._stamps:
            raise UserError(
                f"model '{self._location.reference}': its files changed while it was evaluated; these answers may be "
                "those of another model, so they were not stored; repeat the command once its files no longer change"
            )

    def _reusable(self, cells: Sequence[Cell]) -> ReusedStates | None:
        """Return where to keep states between blocks; ``None`` if every recipe changes the first block."""
        matrices = self._compressor.matrices
        blocks = block_list(matrices)
        if blocks is None or not isinstance(self._loaded.model.get_submodule(blocks), nn.ModuleList):
            return None
        self._blocks = 1 + max(matrix.block[1] for matrix in matrices if matrix.block is not None)
        variants = dict.fromkeys(cell.variant for cell in cells)
        self._unchanged = {
            each: unchanged_blocks(self._compressor.changed(each.recipe), self._blocks)
            for each in variants
            if not rounds_activations(each.recipe)
        }
        reusing = {number for each, number in self._unchanged.items() if each.recipe.steps} - {0}
        if not reusing:
            return None
        return ReusedStates(blocks, in_memory=IN_MEMORY // self._processes, in_files=IN_FILES // self._processes)

    @cached_property
    def _computed_on(self) -> str:
        return hardware(self._loaded.model.device)

    @property
    def _matrices(self) -> Sequence[Matrix] | None:
        if not self._are_used_once:
            return None
        return [matrix for matrix in self._compressor.matrices if matrix.block not in self._dropped]

    def _start_reuse(self, reused: ReusedStates, variant: Variant) -> None:
        unchanged = unchanged_blocks(self._compressor.changed(variant.recipe, self._dropped), self._blocks)
        self._unchanged.pop(variant, None)
        is_whole = self._work.stop is not None and variant.recipe.is_baseline
        # If variants may stop early, their batches differ from the baseline's.
        reused.start(0 if is_whole else unchanged, wanted=self._unchanged.values())

    @property
    def _is_timed(self) -> bool:
        return self._reused is None or not self._reused.is_used

    @cached_property
    def _wide(self) -> Loaded:
        """The model in float32."""
        checkpoint = self._work.checkpoints[self._location.reference]
        return load(checkpoint, dtype="float32", device=self._work.evaluation.device)

    @contextmanager
    def _installed(self, variant: Variant) -> Iterator[None]:
        if variant.recipe.steps:
            # Only baselines need it.
            self.__dict__.pop("_wide", None)
            self._progress.stage(f"compressing {variant.recipe}")
        with self._compressor.applied(variant.recipe) as compressed:
            self._dropped = dropped_among(compressed.weights)
            self._store_variant(variant, compressed)
            if self._reused is not None:
                self._start_reuse(self._reused, variant)
            self._installed_engine = self._engine_of_installed(variant)
            yield

    def _engine_of_installed(self, variant: Variant) -> Engine:
        if not rounds_activations(variant.recipe):
            return self._own
        engine = Engine(self._loaded, batch_tokens=self._work.evaluation.batch_tokens)
        if engine.sharing.level == "alone" != self._own.sharing.level:
            self._progress.stage(
                "reading each text alone, which takes many times as long: a layer rounds the activations of all texts "
                "in a batch together"
            )
        return self._engines.setdefault(engine.shared, engine)

    def _engine(self, cell: Cell) -> Scoring:
        engine = self._installed_engine
        is_pair = is_compared(self._work.tasks[cell.task].items)
        return self._comparisons.engine(cell.variant, engine.sharing) if is_pair else engine

    def _store_variant(self, variant: Variant, compressed: Compressed) -> None:
        reached = compressed.reached
        if variant.recipe.candidate is not None and not variant.recipe.steps:
            # Counted like the original: without a file's header, and shared tensors once.
            checkpoint = self._work.checkpoints[variant.source]
            stored = reached.dense_bytes if checkpoint.reading == "plain" else checkpoint.stored_bytes
            reached = replace(reached, quantized_bytes=stored, smallest_bytes=stored)
        self._work.store.write_variant(variant, reached, {"compress_seconds": compressed.seconds, **self._facts})
        self._facts = {}

    def _store_noise(self, cell: Cell, outcomes: Sequence[Outcome] | None) -> None:
        if self._work.store.needs_noise(cell, is_wanted=self._work.evaluation.noise_floor):
            is_wide = self._loaded.model.dtype == torch.float32
            how = "" if is_wide else ", in float32"
            self._progress.stage(f"scoring {cell.task} again for the noise floor{how}")
            batch_tokens = self._work.evaluation.batch_tokens
            task = self._work.tasks[cell.task]
            if is_compared(task.items):
                # The outcomes themselves are the noise, and nothing in them is right or wrong.
                noise = noise_between((), (), batch_tokens=(self._own.batch_tokens,) * 2)
            elif is_wide:
                noise = measure_noise(self._loaded, task, batch_tokens=batch_tokens, first=outcomes)
            else:
                noise = measure_rounding(self._loaded, self._wide, task, batch_tokens=batch_tokens, first=outcomes)
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


def fail(work: Work, progress: Progress, cell: Cell, error: Exception | SystemExit) -> None:
    """Store and report the failure of a cell."""
    text = f"{type(error).__name__}: {error}"
    if isinstance(error, SystemExit):
        text = f"a plug-in or a library called sys.exit({error.code!r})"
    work.store.write_failure(cell, text, "".join(traceback.format_exception(error)))
    progress.cell_failed(cell, error=text)


def hardware(device: torch.device) -> str:
    """Return the processor, its instruction set and the number of threads, or the name of another device."""
    if device.type == "cuda":
        return str(torch.cuda.get_device_name(device))
    if device.type != "cpu":
        return str(device.type)
    kernels = torch.backends.cpu.get_cpu_capability()
    return f"{processor_name()}, {kernels}, {counted(torch.get_num_threads(), 'thread')}"


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
    """Measure the noise floor: score a task again in other batches, and compare.

    Args:
        loaded: The model.
        task: The task.
        batch_tokens: Maximum number of tokens per batch in the first scoring; by default, it depends on the device.
        first: The outcomes of the first scoring; computed here if missing.
    """
    engine = Engine(loaded, batch_tokens=batch_tokens)
    prepared = engine.prepare(task.items)
    most = engine.most_tokens(prepared)
    # A task that fits into one batch would otherwise be read in the same one again.
    other = Engine(loaded, batch_tokens=max(1, min(most, prepared.tokens) // _SHARE))
    again = other.prepare(task.items)
    if prepared.batches and {each.digest for each in again.batches} == {each.digest for each in prepared.batches}:
        # Each row is a batch of its own, so only longer batches differ.
        other = Engine(loaded, batch_tokens=most * _SHARE)
        again = other.prepare(task.items)
    if first is None:
        first = judged(task, engine.score(prepared)).outcomes
    second = judged(task, other.score(again)).outcomes
    return noise_between(first, second, batch_tokens=(most, other.batch_tokens))


def measure_rounding(
    loaded: Loaded,
    wide: Loaded,
    task: Task,
    *,
    batch_tokens: int | None,
    first: Sequence[Outcome] | None = None,
) -> Noise:
    """Measure the noise floor of a 16-bit model: score a task again in float32, and compare.

    Args:
        loaded: The model.
        wide: The same in float32.
        task: The task.
        batch_tokens: Maximum number of tokens per batch; by default, it depends on the device.
        first: The outcomes of the first scoring; computed here if missing.
    """

    def outcomes(model: Loaded) -> tuple[Sequence[Outcome], int]:
        engine = Engine(model, batch_tokens=batch_tokens)
        prepared = engine.prepare(task.items)
        return judged(task, engine.score(prepared)).outcomes, engine.most_tokens(prepared)

    second, most = outcomes(wide)
    return noise_between(
        outcomes(loaded)[0] if first is None else first, second, batch_tokens=(most, most), dtype="float32"
    )

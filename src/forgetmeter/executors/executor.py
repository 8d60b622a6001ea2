"""The interfaces of executors and of progress listeners."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Protocol

from forgetmeter.config.study import Evaluation
from forgetmeter.records.cell import Cell
from forgetmeter.records.item import Task
from forgetmeter.records.stop_rule import StopRule
from forgetmeter.runs.run_store import RunStore
from forgetmeter.specs.model_reference import ModelReference

if TYPE_CHECKING:
    from forgetmeter.engines.external_engine import ExternalEngine
    from forgetmeter.models.checkpoint import Checkpoint
    from forgetmeter.scoring.rows.reading import BatchReadings


class Progress:
    """A progress listener that does nothing; subclasses override what they show."""

    def stage(self, text: str) -> None:
        """Work other than a cell has started, such as loading a model."""

    def stage_advanced(self, done: int, total: int) -> None:
        """``done`` of the ``total`` parts of the current stage are done."""

    def amount(self, tokens: Mapping[Cell, int]) -> None:
        """Estimates of the tokens that cells will read and write, before the first cell; some may be missing."""

    def cell_started(self, cell: Cell, *, items: int) -> None:
        """A cell with this number of items has started."""

    def cell_advanced(self, cell: Cell, *, share: float) -> None:
        """A share of the cell is done, from 0 to 1."""

    def cell_finished(self, cell: Cell, *, seconds: float) -> None:
        """The cell is scored and stored."""

    def cell_kept(self, cell: Cell) -> None:
        """The cell's outcomes were already stored; only its noise, variant or items were missing."""

    def cell_failed(self, cell: Cell, *, error: str) -> None:
        """The cell failed, and the failure is stored."""


@dataclass(frozen=True)
class Work:
    """The work of an executor.

    Attributes:
        cells: The cells to run, in order. Some may be done already; see ``Executor``.
        tasks: The tasks by name.
        checkpoints: The models, opened and checked.
        engines: The other runtimes that answer, checked.
        evaluation: The evaluation settings.
        store: Receives the outcomes.
    """

    cells: Sequence[Cell]
    tasks: Mapping[str, Task]
    checkpoints: Mapping[ModelReference, Checkpoint]
    evaluation: Evaluation
    store: RunStore
    engines: Mapping[ModelReference, ExternalEngine] = field(default_factory=dict)
    stop: StopRule | None = None

    def by_runtime(self) -> tuple[Work, Work]:
        """Return the work of models, and that of engines, which answer where the run was started."""
        of_engines = [cell for cell in self.cells if cell.variant.source in self.engines]
        others = [cell for cell in self.cells if cell.variant.source not in self.engines]
        return replace(self, cells=others, engines={}), replace(self, cells=of_engines)

    def unstored(self, cells: Sequence[Cell]) -> list[Cell]:
        """Return those of some cells that have neither outcomes nor a failure."""
        failed = {(each.variant, each.task) for each in self.store.failures()} if cells else set()
        return [cell for cell in self.undone(cells) if (cell.variant.id, cell.task) not in failed]

    def undone(self, cells: Sequence[Cell]) -> list[Cell]:
        """Return those of some cells that have no outcomes; they may have failed, now or in an earlier run."""
        return [cell for cell in cells if not self.store.is_done(cell, stop=self.stop)]


@dataclass(frozen=True)
class Read:
    """Readings made for a cell elsewhere.

    Attributes:
        batches: The readings of batches, by ``Batch.digest``.
        seconds: The time this took.
        is_timed: Whether it is that of all of the variant's computation.
    """

    batches: Mapping[str, BatchReadings] = field(default_factory=dict)
    seconds: float = 0.0
    is_timed: bool = True

    def __add__(self, other: Read) -> Read:
        """Return both."""
        batches = {**self.batches, **other.batches}
        return Read(batches, self.seconds + other.seconds, self.is_timed and other.is_timed)


@dataclass(frozen=True)
class CellUnit:
    """Cells of one variant that a worker takes as a whole.

    Attributes:
        cells: The cells.
        share: If only a part of the batches of the only cell is to be read, and nothing stored: its number, and the
            number of parts.
        read: Readings made for the only cell elsewhere, once all its shares are read.
    """

    cells: Sequence[Cell]
    share: tuple[int, int] | None = None
    read: Read | None = None


class Executor(Protocol):
    """Runs cells; ``executors/local.py`` is an example.

    An executor that only decides where and in which order cells run gives ``LocalExecutor().execute`` a ``Work`` with a
    share of the cells: ``dataclasses.replace(work, cells=share)``. A candidate's cells load ``variant.source``, and
    compare with the outcomes of ``variant.model``. Cells of tasks that compare texts need both models.

    For each cell, an executor first asks ``work.store.is_done(cell, stop=work.stop)``:

    - If it is not done, it scores the task's items under the variant and calls ``write_outcomes``. The answers are
      judged by ``judged``, and the facts stored with the outcomes are those of ``CellFacts``, as a dictionary, with
      the hash of the task's stored items as ``items_hash``. If scoring fails, it calls ``write_failure`` instead.
    - If it is done, only a record of it was missing: its variant, its items, or its noise. The executor need not score
      the cell again, and calls ``progress.cell_kept(cell)``.

    In both cases, it stores the variant once by ``write_variant``, and if ``needs_noise`` says so, the noise of the
    cell by ``write_noise``. The items are stored before it starts.
    """

    def execute(self, work: Work, progress: Progress) -> None:
        """Run all cells; a failure is stored and does not stop the others.

        It returns when every cell is stored. A cell with neither outcomes nor a failure makes the run fail with a
        ``UserError``.
        """
        ...

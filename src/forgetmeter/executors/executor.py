"""The seam for executors, and for those who are told how the work goes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from forgetmeter.config.study import Evaluation
from forgetmeter.records.cell import Cell
from forgetmeter.records.item import Task
from forgetmeter.runs.run_store import RunStore
from forgetmeter.specs.model_reference import ModelReference

if TYPE_CHECKING:
    from forgetmeter.models.checkpoint import Checkpoint


class Progress(Protocol):
    """Is told how the work goes."""

    def stage(self, text: str) -> None:
        """Something other than a cell has begun, such as loading a model."""
        ...

    def cell_started(self, cell: Cell, *, items: int) -> None:
        """A cell with so many items has begun."""
        ...

    def cell_advanced(self, cell: Cell, *, share: float) -> None:
        """So much of the cell is done, from 0 to 1."""
        ...

    def cell_finished(self, cell: Cell, *, seconds: float) -> None:
        """The cell is stored."""
        ...

    def cell_failed(self, cell: Cell, *, error: str) -> None:
        """The cell could not be done; the failure is stored."""
        ...


@dataclass(frozen=True)
class Work:
    """What an executor needs to know of a run.

    Attributes:
        cells: What is to be done, in order.
        tasks: The tasks by name.
        checkpoints: The models, opened and checked.
        evaluation: How variants are asked.
        store: Where outcomes go.
    """

    cells: Sequence[Cell]
    tasks: Mapping[str, Task]
    checkpoints: Mapping[ModelReference, Checkpoint]
    evaluation: Evaluation
    store: RunStore


class Executor(Protocol):
    """Does cells."""

    def execute(self, work: Work, progress: Progress) -> None:
        """Do all cells; what fails is stored as failed, and the rest goes on."""
        ...


class Silence:
    """Says nothing."""

    def stage(self, text: str) -> None:
        """Say nothing."""

    def cell_started(self, cell: Cell, *, items: int) -> None:
        """Say nothing."""

    def cell_advanced(self, cell: Cell, *, share: float) -> None:
        """Say nothing."""

    def cell_finished(self, cell: Cell, *, seconds: float) -> None:
        """Say nothing."""

    def cell_failed(self, cell: Cell, *, error: str) -> None:
        """Say nothing."""

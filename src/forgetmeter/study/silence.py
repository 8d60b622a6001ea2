"""The progress listener that says nothing."""

from __future__ import annotations

from forgetmeter.records.cell import Cell


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

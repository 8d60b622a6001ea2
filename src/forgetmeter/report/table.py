"""Tables, independent of any output format."""

from __future__ import annotations

from dataclasses import dataclass, replace

from forgetmeter.runs.stored import Failure


@dataclass(frozen=True)
class TableRow:
    """One recipe's row.

    Attributes:
        cells: Its values, one per column.
        note: Text to show instead of missing values.
        is_strong: Whether to highlight the row.
    """

    recipe: str
    cells: tuple[str, ...] = ()
    note: str = ""
    is_strong: bool = False


@dataclass(frozen=True)
class Table:
    """A table whose first column names variants.

    Attributes:
        name: The task, or the heading of a table about no task.
        facts: Further phrases for its title.
        columns: Headings of the columns after the first.
        optional: Number of last columns that may be left out for lack of space.
        key: Heading of the first column.
        texts: Columns that have text instead of numbers.
    """

    model: str
    name: str
    facts: tuple[str, ...]
    columns: tuple[str, ...]
    rows: tuple[TableRow, ...]
    optional: int = 0
    key: str = "recipe"
    texts: frozenset[str] = frozenset()

    def narrowed(self) -> Table:
        """Return the table without its optional columns."""
        kept = len(self.columns) - self.optional
        rows = tuple(replace(row, cells=row.cells[:kept]) for row in self.rows)
        return replace(self, columns=self.columns[:kept], rows=rows, optional=0)


@dataclass(frozen=True)
class Term:
    """A heading or sign with its explanation."""

    name: str
    meaning: str


def failed_row(failure: Failure) -> TableRow:
    """Return the row of a failed cell, with its cause."""
    cause = next((line.strip() for line in failure.error.splitlines() if line.strip()), "no cause was recorded")
    return TableRow(failure.recipe, note=f"failed: {cause}")

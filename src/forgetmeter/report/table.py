"""A table free of any format."""

from __future__ import annotations

from dataclasses import dataclass, replace

from forgetmeter.runs.stored import Failure
from forgetmeter.visible_text import visible


@dataclass(frozen=True)
class Row:
    """One recipe's line.

    Attributes:
        recipe: The recipe.
        cells: Its values, one a column.
        note: What stands in place of the values where there are none.
        is_strong: Whether the row is to stand out.
    """

    recipe: str
    cells: tuple[str, ...] = ()
    note: str = ""
    is_strong: bool = False


@dataclass(frozen=True)
class Table:
    """A table whose first column is the recipe.

    Attributes:
        model: The model it is about.
        name: The task, or ``Variants``.
        facts: What else its title says, a phrase each.
        columns: Headings of the columns after the recipe.
        rows: Its lines.
        optional: How many of the last columns can be left out where there is no room for them.
    """

    model: str
    name: str
    facts: tuple[str, ...]
    columns: tuple[str, ...]
    rows: tuple[Row, ...]
    optional: int = 0

    def narrowed(self) -> Table:
        """Return the same without the columns that can be left out."""
        kept = len(self.columns) - self.optional
        rows = tuple(replace(row, cells=row.cells[:kept]) for row in self.rows)
        return replace(self, columns=self.columns[:kept], rows=rows, optional=0)


@dataclass(frozen=True)
class Term:
    """A heading or sign, explained."""

    name: str
    meaning: str


def failed_row(failure: Failure) -> Row:
    """Return the line of a cell that failed, with its cause."""
    cause = next((line.strip() for line in failure.error.splitlines() if line.strip()), "no cause was noted")
    return Row(failure.recipe, note=f"failed: {visible(cause)}")

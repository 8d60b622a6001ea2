"""The column with the number of items of each variant, for tables whose variants were scored on different items."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from forgetmeter.report.table import Table, TableRow, Term
from forgetmeter.report.words.numbers import count
from forgetmeter.results.compared.cell_summary import CellSummary
from forgetmeter.results.compared.measured import MeasuredSummary

ITEMS = Term(
    "items",
    "number of items that the variant was scored on and, if the baseline was not scored on all of them, the number of "
    "those that both were scored on (paired), which comparisons use",
)


def with_items(table: Table, cells: Iterable[CellSummary | MeasuredSummary]) -> Table:
    """Return the table of a model and task with the number of each variant's items, unless all have the same."""
    items = {cell.recipe: _items(cell) for cell in cells}
    if len(set(items.values())) < 2:
        return table
    place = len(table.columns) - table.optional

    def with_value(row: TableRow) -> TableRow:
        # A failed cell has no values.
        return replace(row, cells=_inserted(row.cells, place, items[row.recipe])) if row.cells else row

    return replace(
        table,
        columns=_inserted(table.columns, place, ITEMS.name),
        rows=tuple(map(with_value, table.rows)),
    )


def items_terms(cells: Iterable[CellSummary | MeasuredSummary]) -> list[Term]:
    """Return the term that explains the column, if the table of any model and task has it."""
    numbers = {(cell.model, cell.task, _items(cell)) for cell in cells}
    return [ITEMS] if len({number[:2] for number in numbers}) < len(numbers) else []


def _items(cell: CellSummary | MeasuredSummary) -> str:
    paired = cell.paired if isinstance(cell, CellSummary) else None
    return count(cell.items) + ("" if paired in (None, cell.items) else f" ({count(paired)} paired)")


def _inserted(values: tuple[str, ...], place: int, value: str) -> tuple[str, ...]:
    return (*values[:place], value, *values[place:])

"""Layout of tables within a terminal width, without ever truncating a recipe."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from rich.cells import cell_len
from rich.text import Text

from forgetmeter.report.table import Table, TableRow
from forgetmeter.specs.scope import split_at

_GAP = "  "
_INDENT = 4
_NARROWEST_RECIPE = 24
_NARROWEST_NOTE = 30
_WIDEST_TEXT = 34

Interval = Literal["beside", "below"]


@dataclass(frozen=True)
class ColumnWidths:
    """Widths of a column of values, in terminal cells.

    Attributes:
        head: Width of the values up to their first space, at which they are aligned.
        tail: Width of the rest: intervals, signs or units.
        whole: Width of the column.
        is_text: Whether its values are text, which is aligned on the left and wrapped.
    """

    head: int
    tail: int
    whole: int
    is_text: bool = False


@dataclass(frozen=True)
class TextLayout:
    """Column widths, and the position of the first value's interval: beside or below the value.

    A recipe wider than its column is split into one line per step, or put above its values.
    """

    recipe_width: int
    columns: tuple[ColumnWidths, ...]
    interval: Interval

    @property
    def values_width(self) -> int:
        """Width of all columns except the recipe's, with the gaps before them."""
        return sum(len(_GAP) + column.whole for column in self.columns)

    @property
    def width(self) -> int:
        """Width of a whole line."""
        return self.recipe_width + self.values_width


def fitting_layout(tables: Sequence[Table], width: int) -> TextLayout:
    """Return the simplest layout that fits all tables, which must have the same columns."""
    recipes = {row.recipe for table in tables for row in table.rows}
    key = tables[0].key
    recipe_width = max(map(cell_len, [key, *recipes]))
    beside = _layout(tables, recipe_width, "beside")
    if beside.width <= width:
        return beside
    below = _layout(tables, recipe_width, "below")
    room = width - below.values_width
    if room >= min(recipe_width, _NARROWEST_RECIPE):
        labels = [label for recipe in recipes for label in _labels(recipe, room)]
        return replace(below, recipe_width=max(map(cell_len, [key, *labels])))
    above = replace(beside, recipe_width=_INDENT)
    return above if above.width <= width else replace(below, recipe_width=_INDENT)


def laid_out(table: Table, layout: TextLayout) -> Text:
    """Return a table's heading, rule and rows."""
    text = Text()
    heading = table.key
    if layout.recipe_width < len(heading):
        text.append(f"{heading}\n", "bold")
        heading = ""
    heading = _left(heading, layout.recipe_width)
    for name, column in zip(table.columns, layout.columns, strict=True):
        # Headings of values with intervals are left-aligned, others right-aligned.
        heading += _GAP + (_left if column.is_text or column.tail > 1 else _right)(name, column.whole)
    text.append(f"{heading.rstrip()}\n", "bold")
    text.append("─" * layout.width + "\n", "dim")
    for row in table.rows:
        style = "red" if row.note else "bold" if row.is_strong else ""
        text.append("".join(f"{line.rstrip()}\n" for line in _row_lines(row, layout)), style)
    return text


def _row_lines(row: TableRow, layout: TextLayout) -> list[str]:
    labels = _labels(row.recipe, layout.recipe_width)
    above = [] if labels else _labels(row.recipe, layout.width) or _steps(row.recipe)
    values = _note_lines(row.note, layout) if row.note else _value_lines(row, layout)
    for place in range(max(len(labels), len(values))):
        label = labels[place] if place < len(labels) else ""
        above.append(_left(label, layout.recipe_width) + (values[place] if place < len(values) else ""))
    return above


def _layout(tables: Sequence[Table], recipe_width: int, interval: Interval) -> TextLayout:
    rows = [_arranged(row, interval) for table in tables for row in table.rows if row.cells]
    columns = [
        (_text_column if name in tables[0].texts else _column)(name, [row.cells[place] for row in rows])
        for place, name in enumerate(tables[0].columns)
    ]
    return TextLayout(recipe_width, tuple(columns), interval)


def _column(name: str, values: Iterable[str]) -> ColumnWidths:
    lines = [line for value in values for line in value.split("\n")]
    parts = [line.partition(" ") for line in lines if not line.startswith("[")]
    head = max((cell_len(before) for before, _, _ in parts), default=0)
    tail = max((cell_len(after) for _, _, after in parts), default=0)
    alone = [cell_len(line) for line in lines if line.startswith("[")]
    return ColumnWidths(head, tail, max(head + (1 + tail if tail else 0), cell_len(name), *alone))


def _text_column(name: str, values: Iterable[str]) -> ColumnWidths:
    lines = [name, *(line for value in values for line in _text_lines(value))]
    return ColumnWidths(0, 0, max(map(cell_len, lines)), is_text=True)


def _text_lines(value: str) -> list[str]:
    return textwrap.wrap(value, _WIDEST_TEXT, break_on_hyphens=False) or [""]


def _arranged(row: TableRow, interval: Interval) -> TableRow:
    """Return a row, with its first value's interval on a separate line if it goes below."""
    if interval == "beside" or not row.cells:
        return row
    return replace(row, cells=(row.cells[0].replace(" [", "\n[", 1), *row.cells[1:]))


def _labels(recipe: str, width: int) -> list[str]:
    """Return the recipe as one line, or one line per step, within ``width``; nothing if a step is wider."""
    for lines in ([recipe], _steps(recipe)):
        if max(map(cell_len, lines)) <= width:
            return lines
    return []


def _steps(recipe: str) -> list[str]:
    first, *others = split_at(recipe, "+")
    return [first, *(f"  +{step}" for step in others)]


def _value_lines(row: TableRow, layout: TextLayout) -> list[str]:
    arranged = zip(_arranged(row, layout.interval).cells, layout.columns, strict=True)
    cells = [_text_lines(cell) if column.is_text else cell.split("\n") for cell, column in arranged]
    lines = []
    for place in range(max(map(len, cells), default=0)):
        values = (lines_of_cell[place] if place < len(lines_of_cell) else "" for lines_of_cell in cells)
        aligned = (_aligned(value, column) for value, column in zip(values, layout.columns, strict=True))
        lines.append("".join(f"{_GAP}{value}" for value in aligned))
    return lines


def _aligned(value: str, column: ColumnWidths) -> str:
    if column.is_text:
        return _left(value, column.whole)
    if value.startswith("["):
        return _right(value, column.whole)
    head, _, tail = value.partition(" ")
    both = _right(head, column.head) + (f" {_right(tail, column.tail)}" if column.tail else "")
    return (_left if column.tail > 1 else _right)(both, column.whole)


def _note_lines(note: str, layout: TextLayout) -> list[str]:
    room = max(layout.values_width - len(_GAP), _NARROWEST_NOTE)
    return [f"{_GAP}{line}" for line in textwrap.wrap(note, room, max_lines=3, placeholder=" …")]


def _right(text: str, width: int) -> str:
    return " " * (width - cell_len(text)) + text


def _left(text: str, width: int) -> str:
    return text + " " * (width - cell_len(text))

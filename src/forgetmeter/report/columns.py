"""Text in columns that fit a width: the widest are truncated first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from rich.cells import cell_len, set_cell_size
from rich.text import Text

_GAP = "  "
_NARROWEST = 8
_CUT = "…"


@dataclass(frozen=True)
class Column:
    """A column's heading and alignment.

    Attributes:
        cut: End at which values that are too long are truncated.
    """

    heading: str
    align: Literal["left", "right"] = "left"
    cut: Literal["end", "start"] = "end"


def in_columns(
    columns: Sequence[Column], rows: Sequence[Sequence[str]], *, width: int, indent: int = 0, styles: Sequence[str] = ()
) -> Text:
    """Return a heading, a rule and one line per row.

    Args:
        rows: Rows of values, one per column.
        styles: One style per row; none by default.
    """
    widths = _widths(columns, rows, width - indent)
    text = Text()
    space = " " * indent
    heading = _GAP.join(_cell(column.heading, column, size) for column, size in zip(columns, widths, strict=True))
    text.append(f"{space}{heading.rstrip()}\n", "bold")
    text.append(f"{space}{'─' * (sum(widths) + len(_GAP) * (len(widths) - 1))}\n", "dim")
    for place, row in enumerate(rows):
        line = _GAP.join(_cell(value, column, size) for value, column, size in zip(row, columns, widths, strict=True))
        text.append(f"{space}{line.rstrip()}\n", styles[place] if styles else "")
    return text


def shortened(text: str, width: int, *, cut: Literal["end", "start"] = "end") -> str:
    """Return a text as one line that fits a width."""
    line = " ".join(text.split())
    if cell_len(line) <= width:
        return line
    if cut == "end":
        return set_cell_size(line, width - 1).rstrip() + _CUT
    # rich truncates only at the end; here the width is measured from the end of the text.
    kept = line[-(width - 1) :]
    while cell_len(kept) > width - 1:
        kept = kept[1:]
    return _CUT + kept.lstrip()


def _widths(columns: Sequence[Column], rows: Sequence[Sequence[str]], room: int) -> list[int]:
    widths = [
        max([cell_len(column.heading), *(cell_len(" ".join(row[place].split())) for row in rows)])
        for place, column in enumerate(columns)
    ]
    least = [max(_NARROWEST, cell_len(column.heading)) for column in columns]
    while sum(widths) + len(_GAP) * (len(widths) - 1) > room:
        place = max(range(len(widths)), key=lambda each: widths[each] - least[each])
        if widths[place] <= least[place]:
            break
        widths[place] -= 1
    return widths


def _cell(value: str, column: Column, width: int) -> str:
    text = shortened(value, width, cut=column.cut)
    space = " " * (width - cell_len(text))
    return space + text if column.align == "right" else text + space

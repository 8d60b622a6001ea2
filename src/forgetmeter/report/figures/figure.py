"""A chart with all that has to stand beside it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class FigureTable:
    """The same numbers as in the chart, as text."""

    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True, eq=False)
class Figure:
    """A chart.

    Attributes:
        name: What its files are called, without an ending; unique within a report.
        model: The model that it is about, or ``all models``.
        title: What it shows.
        alternative: The same as a text for those who do not see it.
        chart: An Altair chart.
        table: Its numbers.
        note: What a reader has to know; may be empty.
    """

    name: str
    model: str
    title: str
    alternative: str
    chart: Any
    table: FigureTable
    note: str = ""


@dataclass(frozen=True)
class DrawnFigure:
    """A figure with its drawings.

    Attributes:
        figure: What was drawn.
        svg: The drawing, a whole SVG document.
        png: The same as pixels, two for each unit of the SVG.
    """

    figure: Figure
    svg: str
    png: bytes

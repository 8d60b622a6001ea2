"""A chart with its title, table and alternative text."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class FigureTable:
    """The numbers in the chart, as text."""

    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True, eq=False)
class Figure:
    """A chart.

    Attributes:
        name: Name of its files without suffix, unique within a report.
        model: The model, or ``all models``.
        alternative: Alternative text for screen readers.
        chart: An Altair chart.
        table: Its numbers.
        note: A note for readers, or empty.
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
        svg: The drawing as an SVG document.
        png: The drawing as PNG, with two pixels per unit of the SVG.
    """

    figure: Figure
    svg: str
    png: bytes

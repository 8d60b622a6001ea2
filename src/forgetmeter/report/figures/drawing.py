"""Drawing of charts as SVG and PNG by vl-convert: no browser, no network."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable
from typing import Any

import altair as alt

from forgetmeter.basics.visible_text import each_text, visible
from forgetmeter.report.figures.drawer import Drawer
from forgetmeter.report.figures.figure import DrawnFigure, Figure
from forgetmeter.report.figures.theme import configuration


def specifications(figures: Iterable[Figure]) -> list[dict[str, Any]]:
    """Return figures as Vega-Lite specifications, whose texts are valid in SVG: names may have any characters."""
    # Altair would refuse more than 5,000 marks, such as a heat map of 122 recipes by 41 relations.
    with alt.data_transformers.enable(max_rows=None):
        charts = [each_text(figure.chart.to_dict(validate=False), visible) for figure in figures]
    return [{**chart, "config": configuration()} for chart in charts]


def draw(figures: Iterable[Figure]) -> list[DrawnFigure]:
    """Draw figures, in order, in a separate process."""
    figures = list(figures)
    with Drawer() as drawer:
        return drawn(figures, specifications(figures), drawer)


def drawn(figures: Iterable[Figure], specified: list[dict[str, Any]], drawer: Drawer) -> list[DrawnFigure]:
    """Draw figures from their specifications, without blocking other threads.

    Raises:
        RuntimeError: The drawing process failed; the message contains its standard error.
    """
    if not specified:
        return []
    return [
        DrawnFigure(figure, each["svg"], base64.b64decode(each["png"]))
        for figure, each in zip(figures, drawer.draw(specified), strict=True)
    ]


def file_name(*parts: str) -> str:
    """Return parts joined into a file name: lower case, hyphens for all characters except letters and digits."""
    return "-".join(re.sub(r"[^a-z0-9]+", "-", part.lower()).strip("-")[:60].strip("-") for part in parts)

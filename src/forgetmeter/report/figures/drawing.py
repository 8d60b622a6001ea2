"""From a chart to SVG and PNG, by vl-convert: no browser, no network."""

from __future__ import annotations

import re
from collections.abc import Iterable

import vl_convert

from forgetmeter.report.figures.figure import DrawnFigure, Figure
from forgetmeter.report.figures.theme import configuration

_PIXELS = 2.0


def draw(figures: Iterable[Figure]) -> list[DrawnFigure]:
    """Draw figures, in order."""
    return [_drawn(figure) for figure in figures]


def _drawn(figure: Figure) -> DrawnFigure:
    specification = figure.chart.to_dict(validate=False)
    specification["config"] = configuration()
    svg = vl_convert.vegalite_to_svg(specification, allowed_base_urls=[])
    return DrawnFigure(figure, svg, vl_convert.svg_to_png(svg, scale=_PIXELS))


def file_name(*parts: str) -> str:
    """Return parts as one name of a file: lower case, hyphens for whatever else is in them."""
    return "-".join(re.sub(r"[^a-z0-9]+", "-", part.lower()).strip("-")[:60].strip("-") for part in parts)

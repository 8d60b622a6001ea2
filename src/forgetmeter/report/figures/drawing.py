"""Drawing of charts as SVG and PNG by vl-convert: no browser, no network."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable
from typing import Any

from forgetmeter.report.figures.drawer import Drawer
from forgetmeter.report.figures.figure import DrawnFigure, Figure
from forgetmeter.report.figures.theme import configuration
from forgetmeter.visible_text import visible

# Characters that XML 1.0 does not allow; other control characters are written as escapes.
_NOT_XML = re.compile("[\ud800-\udfff\ufffe\uffff]")


def specifications(figures: Iterable[Figure]) -> list[dict[str, Any]]:
    """Return figures as Vega-Lite specifications."""
    return [{**_drawable(figure.chart.to_dict(validate=False)), "config": configuration()} for figure in figures]


def _drawable(value: Any) -> Any:  # noqa: ANN401 - JSON
    """Return a specification whose texts are valid in SVG: names in a run may have any characters."""
    if isinstance(value, dict):
        return {_drawable(key): _drawable(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_drawable(each) for each in value]
    return _NOT_XML.sub("\N{REPLACEMENT CHARACTER}", visible(value)) if isinstance(value, str) else value


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

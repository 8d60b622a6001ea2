"""Fonts and colour-blind safe colours of all charts.

The page recolours the inline SVG for its dark theme by these exact values, so that one drawing serves both; a test
checks that the style sheet contains all of them.
"""

from __future__ import annotations

from typing import Any

INK = "#1f2328"
MUTED = "#59636e"
RULE = "#e1e4e8"
PAPER = "#ffffff"
GUESSING = "#6e7781"

SERIES = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#b8860b", "#56b4e9", "#5d4b8c")
"""The Okabe-Ito palette, with yellow and black replaced by colours visible on light and dark backgrounds."""
SCOPE_COLOURS = {"attention": SERIES[0], "feed_forward": SERIES[1], "overall": SERIES[2], "head": SERIES[3]}
SHAPES = ("circle", "square", "triangle-up", "diamond", "cross", "triangle-down", "triangle-right")

HEAT = (
    "#f3f6fa",
    "#dbe7f3",
    "#bfd5ea",
    "#9dc0df",
    "#78a8d2",
    "#548fc3",
    "#3875b0",
    "#255c96",
    "#164578",
    "#0b2f57",
)
"""Tenths of a share, from none to all: one hue that varies in lightness."""
NO_VALUE = "#eceae6"

_FONT = "Liberation Sans, Arial, Helvetica, sans-serif"


def configuration() -> dict[str, Any]:
    """Return Vega-Lite's configuration."""
    axis = {
        "labelColor": MUTED,
        "titleColor": INK,
        "gridColor": RULE,
        "domainColor": MUTED,
        "tickColor": MUTED,
        "labelFontSize": 12,
        "labelPadding": 6,
        "titleFontSize": 12,
        "titleFontWeight": "normal",
        "titlePadding": 8,
    }
    return {
        "background": PAPER,
        "font": _FONT,
        "view": {"stroke": None},
        "axis": axis,
        "title": {"color": INK, "fontSize": 13, "fontWeight": "bold", "anchor": "start", "offset": 8},
        "legend": {
            "labelColor": INK,
            "titleColor": INK,
            "labelFontSize": 12,
            "symbolSize": 70,
            "orient": "top",
            "title": None,
            "columnPadding": 14,
            "offset": 6,
        },
    }

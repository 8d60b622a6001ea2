"""Draws charts in a process of its own, as drawing by vl-convert keeps the interpreter from doing anything else.

Reads a JSON list of Vega-Lite specifications from standard input and writes a JSON list of ``svg`` and ``png``
(base64) to standard output. It is run by its path and imports nothing of the package, so that it begins at once.
"""

from __future__ import annotations

import base64
import json
import sys
from typing import Any

import vl_convert

_PIXELS = 2.0


def draw_specification(specification: dict[str, Any]) -> dict[str, str]:
    """Return a chart as SVG, and as PNG with two pixels for each unit of the SVG; nothing is fetched for it."""
    svg = vl_convert.vegalite_to_svg(specification, allowed_base_urls=[])
    return {"svg": svg, "png": base64.b64encode(vl_convert.svg_to_png(svg, scale=_PIXELS)).decode()}


def get_ready() -> None:
    """Have Vega compiled, which the first chart would wait for."""
    mark: dict[str, Any] = {"data": {"values": [{}]}, "mark": "point"}
    draw_specification({"$schema": "https://vega.github.io/schema/vega-lite/v6.json", **mark})


if __name__ == "__main__":
    get_ready()
    # Bytes, as a console's encoding may be anything.
    asked = json.loads(sys.stdin.buffer.read())
    sys.stdout.buffer.write(json.dumps([draw_specification(each) for each in asked]).encode())

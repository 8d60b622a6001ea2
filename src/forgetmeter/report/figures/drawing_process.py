"""Draws charts in a separate process, as vl-convert holds the interpreter lock while it draws.

Reads a JSON list of Vega-Lite specifications from standard input and writes a JSON list of ``svg`` and ``png``
(base64) to standard output. It is run by path and imports nothing from the package, for a fast start.
"""

from __future__ import annotations

import base64
import json
import sys
from typing import Any

import vl_convert

_PIXELS = 2.0


def draw_specification(specification: dict[str, Any]) -> dict[str, str]:
    """Return a chart as SVG, and as PNG with two pixels per unit of the SVG; nothing is downloaded."""
    svg = vl_convert.vegalite_to_svg(specification, allowed_base_urls=[])
    return {"svg": svg, "png": base64.b64encode(vl_convert.svg_to_png(svg, scale=_PIXELS)).decode()}


def warm_up() -> None:
    """Compile Vega before the first chart needs it."""
    mark: dict[str, Any] = {"data": {"values": [{}]}, "mark": "point"}
    draw_specification({"$schema": "https://vega.github.io/schema/vega-lite/v6.json", **mark})


if __name__ == "__main__":
    warm_up()
    # Bytes are independent of the console's encoding.
    asked = json.loads(sys.stdin.buffer.read())
    sys.stdout.buffer.write(json.dumps([draw_specification(each) for each in asked]).encode())

"""A frontier for the terminal: each variant's costs and retained share, with a star for Pareto-optimal ones."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

from rich.text import Text

from forgetmeter.basics.plural import megabytes
from forgetmeter.basics.visible_text import visible_line
from forgetmeter.report.columns import Column, in_columns
from forgetmeter.report.words.numbers import MISSING, count, percent_interval
from forgetmeter.report.words.size_words import SIZES, packed_remark
from forgetmeter.results.frontier import SPEED, Frontier, FrontierPoint, Measure

_UNBEATEN = " *"
_BEATEN = "  "


def frontier_text(frontier: Frontier, *, width: int) -> Text:
    """Return a frontier as styled text, ordered from most to least retained."""
    points = sorted(frontier.points, key=lambda point: -point.retained.value)
    differ = len({point.items for point in points}) > 1
    columns = [Column("recipe"), Column("retained [95%]"), *([Column("items", align="right")] if differ else [])]
    columns += [Column(heading + _BEATEN, align="right") for heading in (*SIZES.values(), "tokens/s")]
    sizes = [_sizes(points, measure) for measure in SIZES]
    rows = [
        (
            point.recipe,
            percent_interval(point.retained),
            *([count(point.items)] if differ else []),
            *(column[place] for column in sizes),
            _speed(point),
        )
        for place, point in enumerate(points)
    ]
    text = Text(f"{frontier.model} · {frontier.task} · sizes in MB\n", "bold")
    styles = ["bold" if point.pareto else "" for point in points]
    text.append_text(in_columns(columns, rows, width=width, styles=styles))
    text.append(
        "* Pareto-optimal: no other variant is at least as small (or fast), retains at least as much, and is better\n"
        "in one of the two.\n"
        "Sizes are of the whole model: with every weight stored; with zeros as a bitmask; with quantized matrices at\n"
        "their bit width; with each matrix in its smallest form. Speed was measured while this task was scored.\n",
        "dim",
    )
    if frontier.source is not None:
        said = visible_line(packed_remark(frontier.model, frontier.source))
        text.append(textwrap.fill(said, width) + "\n", "yellow")
    return text


def _sizes(points: Sequence[FrontierPoint], measure: Measure) -> list[str]:
    shown = megabytes(int(point.costs[measure]) if measure in point.costs else None for point in points)
    return [size + _mark(point, measure) for size, point in zip(shown, points, strict=True)]


def _speed(point: FrontierPoint) -> str:
    if point.simulated or SPEED not in point.costs:
        return MISSING + _BEATEN
    return f"{point.costs[SPEED]:,.0f}{_mark(point, SPEED)}"


def _mark(point: FrontierPoint, measure: Measure) -> str:
    return _UNBEATEN if measure in point.pareto else _BEATEN

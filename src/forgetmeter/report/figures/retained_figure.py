"""Line charts of the retained share over the level, with intervals and the accuracy of guessing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import altair as alt
import pandas as pd

from forgetmeter.report.figures.drawing import file_name
from forgetmeter.report.figures.figure import Figure, FigureTable
from forgetmeter.report.figures.theme import GUESSING, PAPER, SCOPE_COLOURS, SERIES, SHAPES
from forgetmeter.report.words.numbers import MISSING, interval, magnitude, percent, percent_interval
from forgetmeter.report.words.recipe_words import scope_in_words
from forgetmeter.results.retained_curve import RetainedCurve

Along = Literal["level", "removed"]
_AXES: Mapping[Along, str] = {"level": "share of the scope's weights pruned", "removed": "weights removed"}
_UNITS = ((1e9, "billions"), (1e6, "millions"), (1e3, "thousands"))
_WIDTH, _HEIGHT = 290, 210


def retained_figures(curves: Sequence[RetainedCurve], chance: float | None, along: Along) -> list[Figure]:
    """Return the figures of a model and task.

    A method with several scopes has a figure with one line per scope; methods with a single scope share a figure for
    that scope, with one line per method.

    Args:
        curves: All curves of one model and task.
        chance: Accuracy of guessing; ``None`` without choices.
        along: The horizontal axis: the ``level``, or the number of ``removed`` weights.
    """
    if along == "removed":
        curves = [curve for curve in curves if all(point.removed_weights for point in curve.points)]
    curves = [curve for curve in curves if curve.points]
    scopes = Counter(curve.method for curve in curves)
    groups = [
        _Group(method, tuple(curve for curve in curves if curve.method == method), "scope")
        for method, number in scopes.items()
        if number > 1
    ]
    for scope in dict.fromkeys(curve.scope for curve in curves if scopes[curve.method] == 1):
        # Methods with their own figure are repeated here for comparison.
        same = tuple(curve for curve in curves if curve.scope == scope)
        groups.append(_Group(scope, same, "method") if len(same) > 1 else _Group(same[0].method, same, "scope"))
    return [_figure(group, chance, along, is_only=len(groups) == 1) for group in groups]


@dataclass(frozen=True)
class _Group:
    """Curves of one figure, which share a method or a scope and differ in the other."""

    shared: str
    curves: tuple[RetainedCurve, ...]
    by: Literal["scope", "method"]

    def line(self, curve: RetainedCurve) -> str:
        return scope_in_words(curve.scope) if self.by == "scope" else curve.method

    @property
    def title(self) -> str:
        return self.shared if self.by == "scope" else scope_in_words(self.shared)

    @property
    def colours(self) -> list[str]:
        by_scope = [SCOPE_COLOURS.get(curve.scope.removeprefix("paper/")) for curve in self.curves]
        if self.by == "method" or len(set(by_scope)) < len(by_scope):
            by_scope = [None] * len(self.curves)
        return [colour or SERIES[place % len(SERIES)] for place, colour in enumerate(by_scope)]


def _unit(curves: Iterable[RetainedCurve]) -> tuple[float, str]:
    """Return the unit of removed weights that gives the axis short numbers."""
    most = max(point.removed_weights or 0 for curve in curves for point in curve.points)
    return next((each for each in _UNITS if most >= each[0]), (1.0, ""))


def _figure(group: _Group, chance: float | None, along: Along, *, is_only: bool) -> Figure:
    first = group.curves[0]
    is_plain = is_only and group.by == "scope"
    return Figure(
        name=file_name("retained", along, first.model, first.task, group.shared),
        model=first.model,
        title=first.model if is_plain else f"{first.model}: {group.title}",
        alternative=_alternative(group, along),
        chart=_chart(group, chance, along),
        table=_table(group),
        note=_averages(group) if along == "level" else "",
    )


def _averages(group: _Group) -> str:
    """Return a note with the mean retained share over all levels, and where it falls fastest; with one level, empty."""
    said = []
    for curve in group.curves:
        area, knee = curve.area, curve.knee
        if knee is None:
            continue
        text = f"{group.line(curve)} {percent_interval(area)}, falling fastest from {knee.low:.0%} to {knee.high:.0%}"
        if (knee.interval_low, knee.interval_high) != (knee.low, knee.high):
            text += f" (95% interval {knee.interval_low:.0%} to {knee.interval_high:.0%})"
        said.append(text)
    return f"On average over the levels: {' · '.join(said)}." if said else ""


def _rows(group: _Group, along: Along) -> list[dict[str, Any]]:
    rows = []
    unit, _ = _unit(group.curves)
    for curve in group.curves:
        line = group.line(curve)
        rows.append({"line": line, "x": 0.0, "retained": 1.0, "low": 1.0, "high": 1.0, "text": f"{line}: baseline"})
        for point in curve.points:
            retained = point.retained
            rows.append(
                {
                    "line": line,
                    "x": point.level if along == "level" else (point.removed_weights or 0) / unit,
                    "retained": retained.value,
                    "low": retained.low,
                    "high": retained.high,
                    "text": f"{line}, {percent(point.level)} pruned: {percent(retained.value)} retained "
                    f"{interval(retained)}",
                }
            )
    return rows


def _chart(group: _Group, chance: float | None, along: Along) -> Any:  # noqa: ANN401 - of Altair
    rows = pd.DataFrame(_rows(group, along))
    lines = [group.line(curve) for curve in group.curves]
    shapes = [SHAPES[place % len(SHAPES)] for place in range(len(lines))]
    levels = along == "level"
    _, counted = _unit(group.curves)
    title = f"{_AXES[along]}, in {counted}" if counted and not levels else _AXES[along]
    x_axis = alt.Axis(title=title, format="%" if levels else ",.2~f", tickCount=5, grid=False)
    scale = alt.Scale(domain=lines, range=group.colours)
    base = alt.Chart(rows).encode(
        x=alt.X("x:Q", axis=x_axis, scale=alt.Scale(domainMin=0)),
        # Without symbolOpacity, the legend would be as pale as the bands.
        color=alt.Color(
            "line:N",
            sort=lines,
            scale=scale,
            legend=alt.Legend(symbolOpacity=1, columns=3 if group.by == "scope" else 2),
        ),
    )
    y_axis = alt.Axis(title="share of known items retained", format="%", tickCount=5, tickSize=0, domain=False)
    y_scale = alt.Scale(domain=[0, 1])
    layers = [
        base.mark_area(opacity=0.16, aria=False).encode(
            y=alt.Y("low:Q", axis=y_axis, scale=y_scale), y2=alt.Y2("high")
        ),
        base.mark_line(strokeWidth=2, aria=False).encode(y=alt.Y("retained:Q")),
        base.mark_point(filled=True, size=52, opacity=1, stroke=PAPER, strokeWidth=1).encode(
            y=alt.Y("retained:Q"),
            description=alt.Description("text:N"),
            shape=alt.Shape("line:N", sort=lines, scale=alt.Scale(domain=lines, range=shapes)),
        ),
    ]
    if chance is not None:
        layers = [*_guessing(chance), *layers]
    return alt.layer(*layers).properties(width=_WIDTH, height=_HEIGHT)


def _guessing(chance: float) -> list[Any]:
    line = alt.Chart(pd.DataFrame({"chance": [chance], "text": ["guessing"]}))
    return [
        line.mark_rule(strokeDash=[4, 4], color=GUESSING, aria=False).encode(y=alt.Y("chance:Q")),
        line.mark_text(align="left", dx=3, dy=-6, color=GUESSING, fontSize=11, aria=False).encode(
            x=alt.value(0), y=alt.Y("chance:Q"), text=alt.Text("text:N")
        ),
    ]


def _alternative(group: _Group, along: Along) -> str:
    first = group.curves[0]
    lines = "; ".join(f"{group.line(curve)} {_course(curve)}" for curve in group.curves)
    scope = "attention and feed-forward" if group.shared == "overall" else group.title
    shared = f"under {group.title}" if group.by == "scope" else f"with {scope} pruned"
    return (
        f"Line chart of what {first.model} retains of {first.task} {shared}, by {_AXES[along]}: {lines}. "
        "The table has all values."
    )


def _course(curve: RetainedCurve) -> str:
    """Return where a curve starts and ends, or its only point."""
    start, end = curve.points[0], curve.points[-1]
    to = f"{percent(end.retained.value)} at {percent(end.level)}"
    if start is end:
        return f"{to} pruned"
    return f"from {percent(start.retained.value)} at {percent(start.level)} pruned to {to}"


def _table(group: _Group) -> FigureTable:
    rows = [
        (
            group.line(curve),
            percent(point.level),
            magnitude(point.removed_weights) if point.removed_weights else MISSING,
            percent_interval(point.retained),
        )
        for curve in group.curves
        for point in curve.points
    ]
    return FigureTable((group.by, "pruned", "removed weights", "retained [95%]"), tuple(rows))

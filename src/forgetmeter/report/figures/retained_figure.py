"""What is retained at growing levels, a line for each scope, with intervals and the line of guessing."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

import altair as alt
import pandas as pd

from forgetmeter.analysis.retained_curve import RetainedCurve
from forgetmeter.report.figures.drawing import file_name
from forgetmeter.report.figures.figure import Figure, FigureTable
from forgetmeter.report.figures.theme import GUESSING, PAPER, SCOPE_COLOURS, SERIES, SHAPES
from forgetmeter.report.numbers import MISSING, interval, magnitude, percent
from forgetmeter.report.retained_grid import scope_in_words

Along = Literal["level", "removed"]
_AXES: Mapping[Along, str] = {"level": "share of the scope's weights pruned", "removed": "weights removed"}
_UNITS = ((1e9, "milliards"), (1e6, "millions"), (1e3, "thousands"))
_WIDTH, _HEIGHT = 290, 210


def retained_figures(curves: Sequence[RetainedCurve], chance: float | None, along: Along) -> list[Figure]:
    """Return a figure for each method among the curves of a model and task.

    Args:
        curves: All of one model and task.
        chance: What guessing gets right; ``None`` where there is nothing to guess from.
        along: What the horizontal axis is: the ``level``, or how many weights were ``removed``.
    """
    found = []
    methods = list(dict.fromkeys(curve.method for curve in curves))
    for method in methods:
        chosen = [curve for curve in curves if curve.method == method]
        if along == "removed":
            chosen = [curve for curve in chosen if all(point.removed_weights for point in curve.points)]
        if chosen:
            found.append(_figure(chosen, chance, along, is_only=len(methods) == 1))
    return found


def _unit(curves: Iterable[RetainedCurve]) -> tuple[float, str]:
    """Return in what weights are counted, so that the axis has short numbers."""
    most = max(point.removed_weights or 0 for curve in curves for point in curve.points)
    return next((each for each in _UNITS if most >= each[0]), (1.0, ""))


def _figure(curves: Sequence[RetainedCurve], chance: float | None, along: Along, *, is_only: bool) -> Figure:
    first = curves[0]
    return Figure(
        name=file_name("retained", along, first.model, first.task, first.method),
        title=first.model if is_only else f"{first.model}: {first.method}",
        alternative=_alternative(curves, along),
        chart=_chart(curves, chance, along),
        table=_table(curves),
    )


def _rows(curves: Sequence[RetainedCurve], along: Along) -> list[dict[str, Any]]:
    rows = []
    unit, _ = _unit(curves)
    for curve in curves:
        scope = scope_in_words(curve.scope)
        rows.append({"scope": scope, "x": 0.0, "retained": 1.0, "low": 1.0, "high": 1.0, "text": f"{scope}: baseline"})
        for point in curve.points:
            retained = point.retained
            rows.append(
                {
                    "scope": scope,
                    "x": point.level if along == "level" else (point.removed_weights or 0) / unit,
                    "retained": retained.value,
                    "low": retained.low,
                    "high": retained.high,
                    "text": f"{scope}, {percent(point.level)} pruned: {percent(retained.value)} retained "
                    f"{interval(retained.low, retained.high)}",
                }
            )
    return rows


def _chart(curves: Sequence[RetainedCurve], chance: float | None, along: Along) -> Any:  # noqa: ANN401 - of Altair
    rows = pd.DataFrame(_rows(curves, along))
    scopes = [scope_in_words(curve.scope) for curve in curves]
    colours = [_colour(curve.scope, place) for place, curve in enumerate(curves)]
    shapes = [SHAPES[place % len(SHAPES)] for place in range(len(scopes))]
    levels = along == "level"
    _, counted = _unit(curves)
    title = f"{_AXES[along]}, in {counted}" if counted and not levels else _AXES[along]
    x_axis = alt.Axis(title=title, format="%" if levels else ",.2~f", tickCount=5, grid=False)
    scale = alt.Scale(domain=scopes, range=colours)
    base = alt.Chart(rows).encode(
        x=alt.X("x:Q", axis=x_axis, scale=alt.Scale(domainMin=0)),
        # Without it the legend would be as pale as the bands.
        color=alt.Color("scope:N", sort=scopes, scale=scale, legend=alt.Legend(symbolOpacity=1)),
    )
    y_axis = alt.Axis(title="still known of what the baseline knew", format="%", tickCount=5, tickSize=0, domain=False)
    y_scale = alt.Scale(domain=[0, 1])
    layers = [
        base.mark_area(opacity=0.16, aria=False).encode(
            y=alt.Y("low:Q", axis=y_axis, scale=y_scale), y2=alt.Y2("high")
        ),
        base.mark_line(strokeWidth=2, aria=False).encode(y=alt.Y("retained:Q")),
        base.mark_point(filled=True, size=52, opacity=1, stroke=PAPER, strokeWidth=1).encode(
            y=alt.Y("retained:Q"),
            description=alt.Description("text:N"),
            shape=alt.Shape("scope:N", sort=scopes, scale=alt.Scale(domain=scopes, range=shapes)),
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


def _colour(scope: str, place: int) -> str:
    return SCOPE_COLOURS.get(scope.removeprefix("paper/"), SERIES[place % len(SERIES)])


def _alternative(curves: Sequence[RetainedCurve], along: Along) -> str:
    first = curves[0]
    parts = []
    for curve in curves:
        start, end = curve.points[0], curve.points[-1]
        parts.append(
            f"{scope_in_words(curve.scope)} from {percent(start.retained.value)} at {percent(start.level)} pruned to "
            f"{percent(end.retained.value)} at {percent(end.level)}"
        )
    return (
        f"Line chart of what {first.model} retains of {first.task} under {first.method}, by {_AXES[along]}: "
        f"{'; '.join(parts)}. The table has all values."
    )


def _table(curves: Sequence[RetainedCurve]) -> FigureTable:
    rows = [
        (
            scope_in_words(curve.scope),
            percent(point.level),
            magnitude(point.removed_weights) if point.removed_weights else MISSING,
            f"{percent(point.retained.value)} {interval(point.retained.low, point.retained.high)}",
        )
        for curve in curves
        for point in curve.points
    ]
    return FigureTable(("scope", "pruned", "removed weights", "retained [95%]"), tuple(rows))

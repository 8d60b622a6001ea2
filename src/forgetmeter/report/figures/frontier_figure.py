"""Charts of retained share over cost, with the Pareto-optimal variants numbered."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import altair as alt
import pandas as pd

from forgetmeter.basics.plural import counted, megabytes
from forgetmeter.report.figures.drawing import file_name
from forgetmeter.report.figures.figure import Figure, FigureTable
from forgetmeter.report.figures.theme import GUESSING, INK, SERIES
from forgetmeter.report.words.numbers import MISSING, percent, percent_interval
from forgetmeter.report.words.recipe_words import recipe_in_words
from forgetmeter.report.words.size_words import SIZES
from forgetmeter.results.frontier import SPEED, Frontier, FrontierPoint, Measure, cost_of
from forgetmeter.specs.method_facts import Methods

_WIDTH, _HEIGHT = 290, 230


def shown_measures(frontier: Frontier) -> tuple[Measure, ...]:
    """Return the measures to draw: the smallest size, and the speed if it was measured for several variants.

    Runs of earlier versions have no smallest size; bitmask and quantized size replace it.
    """
    measured = sum(SPEED in point.costs for point in frontier.points)
    speed: tuple[Measure, ...] = (SPEED,) if measured > 1 else ()
    if all("smallest_bytes" in point.costs for point in frontier.points):
        return ("smallest_bytes", *speed)
    both: tuple[Measure, ...] = ("bitmask_bytes", "quantized_bytes")
    return (*(name for name in both if any(name in point.costs for point in frontier.points)), *speed)


def frontier_figure(frontier: Frontier, measure: Measure, methods: Methods) -> Figure:
    """Return the frontier of a model and task by one measure of size, or by speed."""
    points = [point for point in frontier.points if measure in point.costs]
    best = frontier.pareto_set(measure)
    short, name = ("speed", "speed") if measure == SPEED else (SIZES[measure], f"{SIZES[measure]} size")
    return Figure(
        name=file_name("frontier", short, frontier.model, frontier.task),
        model=frontier.model,
        title=f"{frontier.model}: {name}",
        alternative=f"Scatter chart of {name} against what {frontier.model} retains of {frontier.task}; "
        f"Pareto-optimal, {len(best)} of {counted(len(points), 'variant')}: "
        f"{', '.join(recipe_in_words(recipe, methods) for recipe in best)}. The table has all values.",
        chart=_chart(points, measure, methods),
        table=_table(frontier, measure, methods),
        note=_named(points, measure, methods),
    )


def _named(points: Sequence[FrontierPoint], measure: Measure, methods: Methods) -> str:
    best = sorted((point for point in points if measure in point.pareto), key=lambda point: cost_of(point, measure))
    names = (f"{number} {recipe_in_words(point.recipe, methods)}" for number, point in enumerate(best, 1))
    order = "from fast to slow" if measure == SPEED else "from small to large"
    return f"Pareto-optimal, {order}: {' · '.join(names)}."


def _costs(points: Sequence[FrontierPoint], measure: Measure) -> list[str]:
    if measure == SPEED:
        return [f"{point.costs[measure]:,.0f} tokens/s" for point in points]
    return [f"{size} MB" for size in megabytes(int(point.costs[measure]) for point in points)]


def _chart(points: Sequence[FrontierPoint], measure: Measure, methods: Methods) -> Any:  # noqa: ANN401 - of Altair
    is_speed = measure == SPEED
    rows = pd.DataFrame(
        {
            "cost": [point.costs[measure] / (1 if is_speed else 1e6) for point in points],
            "order": [cost_of(point, measure) for point in points],
            "retained": [point.retained.value for point in points],
            "low": [point.retained.low for point in points],
            "high": [point.retained.high for point in points],
            "best": [measure in point.pareto for point in points],
            "text": [
                f"{recipe_in_words(point.recipe, methods)}: {cost}, {percent(point.retained.value)} retained"
                for point, cost in zip(points, _costs(points, measure), strict=True)
            ],
        }
    )
    title = "tokens per second while the task was scored" if is_speed else f"{SIZES[measure]} size in MB"
    base = alt.Chart(rows).encode(
        x=alt.X(
            "cost:Q",
            axis=alt.Axis(title=title, tickCount=5, grid=False),
            scale=alt.Scale(zero=False, padding=12),
        ),
        y=alt.Y(
            "retained:Q",
            axis=alt.Axis(title="share of known items retained", format="%", tickCount=5, tickSize=0, domain=False),
            scale=alt.Scale(domain=[0, 1]),
        ),
    )
    best = base.transform_filter("datum.best")
    return alt.layer(
        base.transform_filter("!datum.best")
        .mark_point(shape="circle", size=36, color=GUESSING, opacity=0.8, strokeWidth=1.5)
        .encode(description=alt.Description("text:N")),
        best.mark_line(
            interpolate="step-before" if is_speed else "step-after",
            color=SERIES[1],
            strokeWidth=1.5,
            opacity=0.8,
            aria=False,
        ),
        best.mark_rule(color=SERIES[1], opacity=0.5, aria=False).encode(y=alt.Y("low:Q"), y2=alt.Y2("high")),
        best.mark_point(shape="diamond", filled=True, size=80, color=SERIES[1], opacity=1).encode(
            description=alt.Description("text:N")
        ),
        # Alternately above and below, as neighbours are often close together.
        *(
            best.transform_window(number="row_number()", sort=[alt.SortField("order")])
            .transform_filter(f"datum.number % 2 == {odd}")
            .mark_text(dy=13 if odd else -12, dx=4, fontSize=11, color=INK, aria=False)
            .encode(text=alt.Text("number:Q"))
            for odd in (1, 0)
        ),
    ).properties(width=_WIDTH, height=_HEIGHT)


def _table(frontier: Frontier, measure: Measure, methods: Methods) -> FigureTable:
    ordered = sorted(
        (point for point in frontier.points if measure in point.costs),
        key=lambda point: (measure not in point.pareto, cost_of(point, measure)),
    )
    columns = [megabytes(_whole(point.costs.get(name)) for point in ordered) for name in SIZES]
    numbers = [str(place) for place, point in enumerate(ordered, 1) if measure in point.pareto]
    rows = []
    for place, point in enumerate(ordered):
        speed = point.costs.get(SPEED)
        rows.append(
            (
                numbers[place] if place < len(numbers) else "",
                recipe_in_words(point.recipe, methods),
                percent_interval(point.retained),
                *(column[place] for column in columns),
                "simulated" if point.simulated else MISSING if speed is None else f"{speed:,.0f}",
            )
        )
    sizes = (f"{name}, MB" for name in SIZES.values())
    return FigureTable(("Pareto-optimal", "recipe", "retained [95%]", *sizes, "tokens/s"), tuple(rows))


def _whole(value: float | None) -> int | None:
    return None if value is None else int(value)

"""Heat maps of the forgotten share, recipes by tasks or relations."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import altair as alt
import pandas as pd

from forgetmeter.basics.plural import counted
from forgetmeter.report.figures.drawing import file_name
from forgetmeter.report.figures.figure import Figure, FigureTable
from forgetmeter.report.figures.theme import HEAT, NO_VALUE, PAPER
from forgetmeter.report.words.numbers import MISSING, percent, percent_range
from forgetmeter.report.words.recipe_words import short_labels

_CELL_WIDTH, _CELL_HEIGHT = 24, 17
_LABEL = 230
_TENTHS = len(HEAT)


@dataclass(frozen=True)
class HeatGrid:
    """Forgotten shares.

    Attributes:
        subject: What the columns divide: a task, or ``all tasks``.
        kind: Kind of the columns: ``relation`` or ``task``.
        columns: Names of the columns, with the number of items that the baseline knows.
        recipes: The rows, in words.
        forgotten: Share per recipe and column; ``None`` if nothing was known or measured.
    """

    model: str
    subject: str
    kind: str
    columns: tuple[tuple[str, int], ...]
    recipes: tuple[str, ...]
    forgotten: tuple[tuple[float | None, ...], ...]


def heat_figure(grid: HeatGrid) -> Figure:
    """Return a grid as a heat map."""
    values = [value for row in grid.forgotten for value in row if value is not None]
    span = percent_range(values) if values else "without any value"
    headings = tuple(f"{name} ({known:,})" for name, known in grid.columns)
    rows = tuple(
        (recipe, *(MISSING if value is None else percent(value) for value in shares))
        for recipe, shares in zip(grid.recipes, grid.forgotten, strict=True)
    )
    return Figure(
        name=file_name("forgotten-by", grid.kind, grid.model, grid.subject),
        model=grid.model,
        title=grid.model,
        alternative=f"Heat map of the share of known items that {grid.model} forgets: "
        f"{counted(len(grid.recipes), 'recipe')} by {counted(len(grid.columns), grid.kind)}, {span}. "
        "The table has all values.",
        chart=_chart(grid),
        table=FigureTable((f"recipe / {grid.kind} (known)", *headings), rows),
    )


def _chart(grid: HeatGrid) -> Any:  # noqa: ANN401 - of Altair
    labels = short_labels(grid.recipes)
    headings = [name for name, _ in grid.columns]
    rows = [
        {
            "recipe": label,
            "column": heading,
            "tenth": -1 if share is None else min(int(share * _TENTHS), _TENTHS - 1),
            "text": f"{name}, {heading}: {MISSING if share is None else percent(share)} of {known:,} forgotten",
        }
        for name, label, shares in zip(grid.recipes, labels, grid.forgotten, strict=True)
        for (heading, known), share in zip(grid.columns, shares, strict=True)
    ]
    tenths = list(range(-1, _TENTHS))
    x_axis = alt.Axis(title=None, labelAngle=-50, labelLimit=_LABEL, tickSize=0, domain=False, orient="top")
    return (
        alt.Chart(pd.DataFrame(rows))
        .mark_rect(stroke=PAPER, strokeWidth=1)
        .encode(
            x=alt.X("column:N", sort=_distinct(headings), axis=x_axis),
            y=alt.Y(
                "recipe:N",
                sort=_distinct(labels),
                axis=alt.Axis(title=None, labelLimit=260, tickSize=0, domain=False),
            ),
            color=alt.Color("tenth:O", scale=alt.Scale(domain=tenths, range=[NO_VALUE, *HEAT]), legend=None),
            description=alt.Description("text:N"),
        )
        .properties(width=alt.Step(_CELL_WIDTH), height=alt.Step(_CELL_HEIGHT))
    )


def _distinct(names: Sequence[str]) -> list[str]:
    return list(dict.fromkeys(names))

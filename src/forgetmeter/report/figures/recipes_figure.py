"""What each recipe retains, a row each, with its interval: for recipes that are no points of a curve."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import altair as alt
import pandas as pd

from forgetmeter.analysis.cell_summary import CellSummary
from forgetmeter.report.figures.drawing import file_name
from forgetmeter.report.figures.figure import Figure, FigureTable
from forgetmeter.report.figures.theme import GUESSING, SERIES
from forgetmeter.report.numbers import interval, percent
from forgetmeter.report.recipe_words import recipe_in_words
from forgetmeter.specs.method_facts import Methods

_WIDTH, _ROW = 220, 19
_MOST = 60


def recipes_figure(cells: Sequence[CellSummary], chance: float | None, methods: Methods) -> Figure | None:
    """Return a figure of recipes of one model and task; ``None`` where none of them has something to retain.

    Args:
        cells: The recipes' cells.
        chance: What guessing gets right; ``None`` where there is nothing to guess from.
        methods: What is known about the methods.
    """
    shown = [cell for cell in cells if cell.retained is not None][:_MOST]
    if not shown:
        return None
    first, names = shown[0], [recipe_in_words(cell.recipe, methods) for cell in shown]
    rows = tuple(
        (name, _estimate(cell), percent(1 - (cell.retained or 0.0)), percent(cell.flips))
        for name, cell in zip(names, shown, strict=True)
    )
    return Figure(
        name=file_name("recipes", first.model, first.task),
        model=first.model,
        title=first.model,
        alternative=f"Dot chart of what {first.model} retains of {first.task} under {len(shown)} recipes, from "
        f"{percent(min(cell.retained or 0.0 for cell in shown))} to "
        f"{percent(max(cell.retained or 0.0 for cell in shown))}. The table has all values.",
        chart=_chart(names, shown, chance),
        table=FigureTable(("recipe", "retained [95%]", "forgotten", "flips"), rows),
        note=f"The first {_MOST} of {len(cells)} recipes." if len(cells) > _MOST else "",
    )


def _estimate(cell: CellSummary) -> str:
    return f"{percent(cell.retained)} {interval(cell.retained_low or 0.0, cell.retained_high or 0.0)}"


def _chart(names: Sequence[str], cells: Sequence[CellSummary], chance: float | None) -> Any:  # noqa: ANN401 - of Altair
    rows = pd.DataFrame(
        {
            "recipe": names,
            "retained": [cell.retained for cell in cells],
            "low": [cell.retained_low for cell in cells],
            "high": [cell.retained_high for cell in cells],
            "text": [f"{name}: {_estimate(cell)} retained" for name, cell in zip(names, cells, strict=True)],
        }
    )
    x_axis = alt.Axis(title="still known of what the baseline knew", format="%", tickCount=3)
    base = alt.Chart(rows).encode(
        y=alt.Y("recipe:N", sort=names, axis=alt.Axis(title=None, labelLimit=260, tickSize=0, domain=False))
    )
    layers = [
        base.mark_rule(strokeWidth=2, color=SERIES[0], opacity=0.55, aria=False).encode(
            x=alt.X("low:Q", axis=x_axis, scale=alt.Scale(domain=[0, 1])), x2=alt.X2("high")
        ),
        base.mark_point(filled=True, size=60, opacity=1, color=SERIES[0]).encode(
            x=alt.X("retained:Q"), description=alt.Description("text:N")
        ),
    ]
    if chance is not None:
        guess = alt.Chart(pd.DataFrame({"chance": [chance]}))
        layers.insert(0, guess.mark_rule(strokeDash=[4, 4], color=GUESSING, aria=False).encode(x=alt.X("chance:Q")))
    return alt.layer(*layers).properties(width=_WIDTH, height=alt.Step(_ROW))

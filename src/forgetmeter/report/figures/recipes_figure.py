"""Dot charts of the retained share per recipe, for recipes that are not on a curve."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import altair as alt
import pandas as pd

from forgetmeter.basics.plural import counted
from forgetmeter.report.figures.drawing import file_name
from forgetmeter.report.figures.figure import Figure, FigureTable
from forgetmeter.report.figures.theme import GUESSING, SERIES
from forgetmeter.report.words.numbers import percent, percent_interval, percent_range
from forgetmeter.report.words.recipe_words import recipe_in_words, short_labels, variant_noun
from forgetmeter.results.compared.cell_summary import CellSummary
from forgetmeter.specs.method_facts import Methods
from forgetmeter.statistics.paired import Estimate

_WIDTH, _ROW = 220, 19
_MOST = 60


def recipes_figure(cells: Sequence[CellSummary], chance: float | None, methods: Methods) -> Figure | None:
    """Return a figure of recipes of one model and task; ``None`` if none has a retained share.

    Args:
        cells: The recipes' cells.
        chance: Accuracy of guessing; ``None`` without choices.
    """
    shown = [(cell, cell.retained) for cell in cells if cell.retained is not None][:_MOST]
    if not shown:
        return None
    first, values = shown[0][0], [retained.value for _, retained in shown]
    names = [recipe_in_words(cell.recipe, methods) for cell, _ in shown]
    rows = tuple(
        (name, percent_interval(retained), percent(1 - retained.value), percent(cell.flips))
        for name, (cell, retained) in zip(names, shown, strict=True)
    )
    noun = variant_noun(cell.recipe for cell, _ in shown)
    return Figure(
        name=file_name("recipes", first.model, first.task),
        model=first.model,
        title=first.model,
        alternative=f"Dot chart of what {first.model} retains of {first.task} under {counted(len(shown), noun)}: "
        f"{percent_range(values)}. The table has all values.",
        chart=_chart(names, [retained for _, retained in shown], chance),
        table=FigureTable((noun, "retained [95%]", "forgotten", "flips"), rows),
        note=f"The first {_MOST} of {len(cells)} {noun}s." if len(cells) > _MOST else "",
    )


def _chart(names: Sequence[str], retained: Sequence[Estimate], chance: float | None) -> Any:  # noqa: ANN401 - of Altair
    labels = short_labels(names)
    rows = pd.DataFrame(
        {
            "recipe": labels,
            "retained": [each.value for each in retained],
            "low": [each.low for each in retained],
            "high": [each.high for each in retained],
            "text": [f"{name}: {percent_interval(each)} retained" for name, each in zip(names, retained, strict=True)],
        }
    )
    x_axis = alt.Axis(title="share of known items retained", format="%", tickCount=3)
    base = alt.Chart(rows).encode(
        y=alt.Y("recipe:N", sort=labels, axis=alt.Axis(title=None, labelLimit=260, tickSize=0, domain=False))
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

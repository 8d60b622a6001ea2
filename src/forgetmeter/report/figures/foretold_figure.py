"""Dot charts of how well cheap numbers rank variants by what they retain."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import altair as alt
import pandas as pd

from forgetmeter.basics.plural import counted
from forgetmeter.report.figures.drawing import file_name
from forgetmeter.report.figures.figure import Figure, FigureTable
from forgetmeter.report.figures.theme import GUESSING, SERIES
from forgetmeter.report.words.numbers import correlation_interval
from forgetmeter.results.foretelling import Foretold
from forgetmeter.statistics.paired import Estimate

_WIDTH, _ROW = 260, 34
_MOST = 12
_WAYS = ("all variants", "at equal size")


def foretold_figure(found: Sequence[Foretold]) -> Figure | None:
    """Return a figure of one model and task; ``None`` if nothing was measured except on the task itself.

    Args:
        found: The cheap numbers, the best first.
    """
    known = [(each, each.correlation) for each in found if each.correlation is not None]
    if not any(each.source not in ("", each.task) for each, _ in known):
        return None
    shown = known[:_MOST]
    first, best = shown[0]
    names = [f"{each.number} ({each.source})" if each.source else each.number for each, _ in shown]
    rows = tuple(
        (name, str(each.variants), correlation_interval(every), correlation_interval(each.at_equal_size))
        for name, (each, every) in zip(names, shown, strict=True)
    )
    return Figure(
        name=file_name("foretold", first.model, first.task),
        model=first.model,
        title=first.model,
        alternative=f"Dot chart of how well {counted(len(shown), 'number')} rank the variants of {first.model} by what "
        f"they retain of {first.task}; the best is {names[0]}, with a rank correlation of {best.value:.2f}. The table "
        "has all values.",
        chart=_chart(names, [(every, each.at_equal_size) for each, every in shown]),
        table=FigureTable(("number", "variants", *(f"{way} [95%]" for way in _WAYS)), rows),
        note=f"The best {_MOST} of {len(known)} numbers." if len(known) > _MOST else "",
    )


def _chart(names: Sequence[str], found: Sequence[tuple[Estimate | None, Estimate | None]]) -> Any:  # noqa: ANN401 - of Altair
    rows = pd.DataFrame(
        [
            {
                "number": name,
                "way": way,
                "value": each.value,
                "low": each.low,
                "high": each.high,
                "text": f"{name}, {way}: {correlation_interval(each)}",
            }
            for name, both in zip(names, found, strict=True)
            for way, each in zip(_WAYS, both, strict=True)
            if each is not None
        ]
    )
    ways = list(_WAYS)
    colour = alt.Color(
        "way:N", scale=alt.Scale(domain=ways, range=list(SERIES[:2])), legend=alt.Legend(symbolOpacity=1)
    )
    shape = alt.Shape("way:N", scale=alt.Scale(domain=ways, range=["circle", "square"]))
    base = alt.Chart(rows).encode(
        y=alt.Y("number:N", sort=list(names), axis=alt.Axis(title=None, labelLimit=260, tickSize=0, domain=False)),
        yOffset=alt.YOffset("way:N", sort=ways),
        color=colour,
    )
    axis = alt.Axis(title="rank correlation with the retained share", tickCount=5)
    return alt.layer(
        alt.Chart(pd.DataFrame({"value": [0]}))
        .mark_rule(strokeDash=[4, 4], color=GUESSING, aria=False)
        .encode(x=alt.X("value:Q")),
        base.mark_rule(strokeWidth=2, opacity=0.55, aria=False).encode(
            x=alt.X("low:Q", axis=axis, scale=alt.Scale(domain=[-1, 1])), x2=alt.X2("high")
        ),
        base.mark_point(filled=True, size=60, opacity=1).encode(
            x=alt.X("value:Q"), shape=shape, description=alt.Description("text:N")
        ),
    ).properties(width=_WIDTH, height=alt.Step(_ROW, **{"for": "position"}))

"""Charts of what is retained over perplexity: whether a variant that reads texts as well has forgotten facts."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import altair as alt
import pandas as pd

from forgetmeter.report.figures.drawing import file_name
from forgetmeter.report.figures.figure import Figure, FigureTable
from forgetmeter.report.figures.theme import GUESSING, SERIES
from forgetmeter.report.words.numbers import percent, percent_interval
from forgetmeter.report.words.recipe_words import recipe_in_words
from forgetmeter.results.compared.cell_summary import CellSummary
from forgetmeter.results.findings.facts_before_perplexity import TENTH
from forgetmeter.specs.method_facts import Methods
from forgetmeter.statistics.paired import Estimate

_WIDTH, _HEIGHT = 290, 230
_MOST_NAMED = 3

_Point = tuple[str, float, Estimate]
"""A recipe in words, its perplexity divided by the baseline's, and the share of the known items it retains."""


def perplexity_figure(
    cells: Sequence[CellSummary], ratios: Mapping[str, float], methods: Methods, *, text: str = ""
) -> Figure | None:
    """Return the figure of one model and task; ``None`` if no recipe has both a retained share and a perplexity.

    Args:
        cells: The cells of the model and task.
        ratios: Perplexity divided by the baseline's, by recipe.
        text: The text's name, if there are several.
    """
    points = [
        (recipe_in_words(cell.recipe, methods), ratios[cell.recipe], cell.retained)
        for cell in cells
        if cell.retained is not None and math.isfinite(ratios.get(cell.recipe, math.nan))
    ]
    if not points:
        return None
    model, task = cells[0].model, cells[0].task
    points.sort(key=lambda point: point[1])
    hidden = [point for point in points if point[1] < 1 + TENTH and point[2].value < 1 - TENTH]
    rows = tuple((words, f"{ratio:.3g}", percent_interval(retained)) for words, ratio, retained in points)
    return Figure(
        name=file_name("perplexity", model, task),
        model=model,
        title=f"{model} · {text}" if text else model,
        alternative=f"Scatter chart of {text or 'perplexity'} against what {model} retains of {task} under "
        f"{len(points)} recipes; "
        f"{len(hidden)} forget more than {TENTH:.0%} while perplexity rises by less. The table has all values.",
        chart=_chart(points),
        table=FigureTable(("recipe", "× perplexity", "retained [95%]"), rows),
        note=_note(hidden),
    )


def _note(hidden: Sequence[_Point]) -> str:
    if not hidden:
        return f"No recipe forgets more than {TENTH:.0%} while perplexity rises by less than {TENTH:.0%}."
    worst = sorted(hidden, key=lambda point: point[2].value)[:_MOST_NAMED]
    named = " · ".join(f"{words} (× {ratio:.3g}, {percent(kept.value)} retained)" for words, ratio, kept in worst)
    more = f" · and {len(hidden) - len(worst)} more" if len(hidden) > len(worst) else ""
    falls = " or falls" if any(ratio < 1 for _, ratio, _ in hidden) else ""
    return f"More than {TENTH:.0%} forgotten while perplexity rises by less than {TENTH:.0%}{falls}: {named}{more}."


def _chart(points: Sequence[_Point]) -> Any:  # noqa: ANN401 - of Altair
    rows = pd.DataFrame(
        {
            "ratio": [ratio for _, ratio, _ in points],
            "retained": [retained.value for *_, retained in points],
            "low": [retained.low for *_, retained in points],
            "high": [retained.high for *_, retained in points],
            "hidden": [ratio < 1 + TENTH and retained.value < 1 - TENTH for _, ratio, retained in points],
            "text": [
                f"{words}: perplexity × {ratio:.3g}, {percent(retained.value)} retained"
                for words, ratio, retained in points
            ],
        }
    )
    base = alt.Chart(rows).encode(
        x=alt.X(
            "ratio:Q",
            axis=alt.Axis(title="perplexity, divided by the original's", tickCount=5, grid=False, format="~g"),
            scale=alt.Scale(type="log", padding=12, nice=False),
        ),
        y=alt.Y(
            "retained:Q",
            axis=alt.Axis(title="share of known items retained", format="%", tickCount=5, tickSize=0, domain=False),
            scale=alt.Scale(domain=[0, 1]),
        ),
    )
    colour = alt.condition("datum.hidden", alt.value(SERIES[1]), alt.value(SERIES[0]))
    limits = alt.Chart(pd.DataFrame({"ratio": [1 + TENTH], "retained": [1 - TENTH]}))
    dashed = limits.mark_rule(strokeDash=[4, 4], color=GUESSING, aria=False)
    return alt.layer(
        dashed.encode(x="ratio:Q"),
        dashed.encode(y="retained:Q"),
        base.mark_rule(opacity=0.4, aria=False).encode(y=alt.Y("low:Q"), y2=alt.Y2("high"), color=colour),
        base.mark_point(filled=True, size=50, opacity=1).encode(color=colour, description=alt.Description("text:N")),
    ).properties(width=_WIDTH, height=_HEIGHT)

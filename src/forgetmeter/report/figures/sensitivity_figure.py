"""Heat maps of sensitivity, roles by layer."""

from __future__ import annotations

from typing import Any

import altair as alt
import pandas as pd

from forgetmeter.basics.plural import counted
from forgetmeter.report.figures.drawing import file_name
from forgetmeter.report.figures.figure import Figure, FigureTable
from forgetmeter.report.figures.theme import HEAT, INK, MUTED, NO_VALUE, PAPER
from forgetmeter.report.sensitivity_grid import NO_LOSS, SensitivityGrid, decimals_for, sensitivity_grid
from forgetmeter.report.sensitivity_table import rates_text, sensitivity_table
from forgetmeter.report.words.numbers import points_interval
from forgetmeter.results.sensitivity import Sensitivity
from forgetmeter.specs.method_facts import Methods

_WIDTH, _HEIGHT = 52, 24
_NARROW, _MOST_WIDE = 24, 24
"""With more columns, they are narrow and have no numbers."""
_STEPS = len(HEAT) - 1
_DARK = 6
"""The first colour on which text is light."""


def sensitivity_figure(found: Sensitivity, methods: Methods) -> Figure | None:
    """Return a sensitivity as a heat map; ``None`` if its parts are all of the same layers."""
    grid = sensitivity_grid(found, methods)
    if grid is None:
        return None
    table, seen = sensitivity_table(found), [part for part in found.parts if part.is_loss]
    (most,) = rates_text([part.rate(found.unit) for part in seen[:1]]) or ("",)
    first = f"Most: {seen[0].scope}, {most} points per {grid.unit}; {NO_LOSS} no loss seen." if seen else ""
    return Figure(
        name=file_name("sensitivity", found.model, found.task, f"{found.method}-{found.level}"),
        model=found.model,
        title=f"{found.model}: {grid.treatment}",
        alternative=f"Heat map of what {found.model} loses of {found.task} per {grid.unit} when a single part is "
        f"{grid.treatment}: {counted(len(grid.rows), 'role')} by {counted(len(grid.columns), 'band')} of layers. A "
        f"loss was seen in {len(seen)} of {counted(len(found.parts), 'part')}. The table has all values.",
        chart=_chart(grid),
        table=FigureTable((table.key, *table.columns), tuple((row.recipe, *row.cells) for row in table.rows)),
        note=first or "No loss seen in any part.",
    )


def _chart(grid: SensitivityGrid) -> Any:  # noqa: ANN401 - of Altair
    is_wide = len(grid.columns) <= _MOST_WIDE
    base = alt.Chart(pd.DataFrame(_cells(grid))).encode(
        x=alt.X(
            "layers:N",
            sort=list(grid.columns),
            axis=alt.Axis(title="layers", labelAngle=0, tickSize=0, domain=False, orient="top", labelOverlap=True),
        ),
        y=alt.Y("role:N", sort=list(grid.rows), axis=alt.Axis(title=None, tickSize=0, domain=False, labelLimit=260)),
    )
    colours = alt.Scale(domain=list(range(-1, len(HEAT))), range=[NO_VALUE, *HEAT])
    cells = base.mark_rect(stroke=PAPER, strokeWidth=1).encode(
        color=alt.Color("step:O", scale=colours, legend=None), description=alt.Description("text:N")
    )
    numbers = base.mark_text(fontSize=11, aria=False).encode(
        text=alt.Text("rate:N"), color=alt.Color("ink:N", scale=None)
    )
    chart = alt.layer(cells, numbers).resolve_scale(color="independent") if is_wide else cells
    return chart.properties(width=alt.Step(_WIDTH if is_wide else _NARROW), height=alt.Step(_HEIGHT))


def _cells(grid: SensitivityGrid) -> list[dict[str, Any]]:
    decimals = decimals_for(rate for row in grid.rates for rate in row if rate is not None)
    cells = []
    for row, (role, parts) in enumerate(zip(grid.rows, grid.parts, strict=True)):
        for column, (layers, part) in enumerate(zip(grid.columns, parts, strict=True)):
            step, rate = grid.intensity(row, column, _STEPS), grid.rates[row][column]
            number, text = "", f"{role}, layers {layers}: not measured"
            if part is not None and rate is not None:
                number = f"{rate:,.{decimals}f}" if step else NO_LOSS
                text = f"{role}, layers {layers}: drop of {points_interval(part.drop)} points"
                text += f", {rate:,.{decimals}f} per {grid.unit}" if step else ", no loss seen"
            ink = MUTED if not step else INK if step < _DARK else PAPER
            shown = -1 if step is None else step
            cells.append({"role": role, "layers": layers, "step": shown, "rate": number, "ink": ink, "text": text})
    return cells

"""Sensitivities for the terminal: a grid of roles by layer, and a table of all parts."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

from rich.text import Text

from forgetmeter.basics.visible_text import visible_line
from forgetmeter.report.formats.text_layout import fitting_layout, laid_out
from forgetmeter.report.sensitivity_grid import NO_LOSS, grid_lines, sensitivity_grid, treated
from forgetmeter.report.sensitivity_table import sensitivity_table
from forgetmeter.results.sensitivity import Sensitivity
from forgetmeter.specs.method_facts import Methods

_LEGEND = (
    "Drops are in percentage points of accuracy, each with its own 95% interval. No loss seen: the interval includes "
    "zero (or is not above the noise floor), and the loss may still be as large as its upper end. Sizes count each "
    "matrix in its smallest form. Losses of several parts do not necessarily add up."
)


def sensitivity_text(found: Sequence[Sensitivity], methods: Methods, *, width: int) -> Text:
    """Return sensitivities as styled text, each with its parts ordered from most to least sensitive."""
    text = Text()
    for each in found:
        text.append(visible_line(f"{each.model} · {each.task} · {treated(each, methods)}"), "bold magenta")
        text.append("\n")
        text.append_text(_grid(each, methods, width))
        text.append_text(_table(each, width))
        text.append("\n")
    text.append(textwrap.fill(_LEGEND, width) + "\n", "dim")
    return text


def _grid(found: Sensitivity, methods: Methods, width: int) -> Text:
    grid = sensitivity_grid(found, methods)
    lines = [] if grid is None else grid_lines(grid)
    if grid is None or max(map(len, lines)) > width:
        return Text()
    text = Text(f"Points lost per {grid.unit}, by layer; {NO_LOSS} no loss seen\n\n", "cyan")
    text.append(f"{lines[0]}\n", "bold")
    for line in lines[1:]:
        text.append(f"{line}\n")
    return text.append("\n")


def _table(found: Sensitivity, width: int) -> Text:
    table = sensitivity_table(found)
    if table.optional and fitting_layout([table], width).width > width:
        table = table.narrowed()
    return laid_out(table, fitting_layout([table], width))

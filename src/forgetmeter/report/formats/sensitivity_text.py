"""Sensitivities for the terminal: a grid of roles by layers, and a table of all parts."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

from rich.text import Text

from forgetmeter.basics.plural import megabytes
from forgetmeter.basics.visible_text import visible_line
from forgetmeter.report.formats.text_layout import fitting_layout, laid_out
from forgetmeter.report.sensitivity_grid import (
    NO_LOSS,
    UNITS,
    decimals_for,
    grid_lines,
    sensitivity_grid,
    treatment_in_words,
)
from forgetmeter.report.table import Table, TableRow
from forgetmeter.report.words.numbers import MISSING, count, magnitude, points_interval
from forgetmeter.results.sensitivity import Sensitivity
from forgetmeter.specs.method_facts import Methods
from forgetmeter.statistics.paired import Estimate

_LEGEND = (
    "Drops are in percentage points of accuracy, each with its own 95% interval. No loss seen: the interval includes "
    "zero (or is not above the noise floor), and the part may lose up to its upper end. Sizes count each matrix "
    "in its smallest form. Losses of several parts need not add up."
)


def sensitivity_text(found: Sequence[Sensitivity], methods: Methods, *, width: int) -> Text:
    """Return sensitivities as styled text, each with its parts ordered from most to least sensitive."""
    text = Text()
    for each in found:
        treated = f"{treatment_in_words(each, methods)} ({_treated(each)})"
        text.append(visible_line(f"{each.model} · {each.task} · {treated}"), "bold magenta")
        text.append("\n")
        text.append_text(_grid(each, methods, width))
        text.append_text(_table(each, width))
        text.append("\n")
    text.append(textwrap.fill(_LEGEND, width) + "\n", "dim")
    return text


def _treated(found: Sensitivity) -> str:
    method, _, options = found.method.partition(":")
    return ":".join(filter(None, (method, "" if found.level is None else f"{found.level:g}", options)))


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
    parts = found.parts
    prunes, differ = any(part.removed_weights for part in parts), len({part.items for part in parts}) > 1
    saved = megabytes(part.saved_bytes for part in parts)
    columns: dict[str, list[str]] = {
        "drop [95%]": [points_interval(part.drop) for part in parts],
        f"per {UNITS[found.unit]} [95%]": _rates([part.rate(found.unit) for part in parts]),
        "": ["" if part.is_loss else "no loss seen" for part in parts],
        "weights": [magnitude(part.weights) for part in parts],
        **({"removed": [magnitude(part.removed_weights) for part in parts]} if prunes else {}),
        "MB saved": saved,
        **({"items": [count(part.items) for part in parts]} if differ else {}),
        **({"per million removed": _values([part.per_million_removed for part in parts])} if prunes else {}),
    }
    rows = (
        TableRow(str(part.scope), tuple(column[place] for column in columns.values()), is_strong=part.is_loss)
        for place, part in enumerate(parts)
    )
    table = Table(
        found.model,
        found.task,
        (),
        tuple(columns),
        tuple(rows),
        optional=int(prunes),
        key="part",
        texts=frozenset({""}),
    )
    if table.optional and fitting_layout([table], width).width > width:
        table = table.narrowed()
    return laid_out(table, fitting_layout([table], width))


def _rates(estimates: Sequence[Estimate]) -> list[str]:
    decimals = decimals_for(100 * each.value for each in estimates)
    return [
        f"{_signless(each.value, decimals)} [{_signless(each.low, decimals)}, {_signless(each.high, decimals)}]"
        for each in estimates
    ]


def _values(estimates: Sequence[Estimate | None]) -> list[str]:
    decimals = decimals_for(100 * each.value for each in estimates if each is not None)
    return [MISSING if each is None else _signless(each.value, decimals) for each in estimates]


def _signless(share: float, decimals: int) -> str:
    text = f"{100 * share:,.{decimals}f}"
    return text.removeprefix("-") if not float(text.replace(",", "")) else text

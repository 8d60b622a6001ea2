"""A summary as GitHub-flavoured Markdown."""

from __future__ import annotations

import re
from collections.abc import Sequence

from forgetmeter.basics.visible_text import visible_line
from forgetmeter.report.table import Table, TableRow
from forgetmeter.report.tables import legend, remarks, tables
from forgetmeter.results.summary import Summary

_SPECIAL = re.compile(r"([\\`*_|<>#~$\[\]])")


def show_markdown(summary: Summary) -> str:
    """Return, for each model, a heading and the tables of its variants, tasks and candidates; then the legend."""
    shown = tables(summary)
    parts = []
    for model in dict.fromkeys(table.model for table in shown):
        parts.append(f"## {escaped(model)}")
        parts += [_table(table) for table in shown if table.model == model]
    parts += [escaped(remark) for remark in remarks(summary)]
    terms = [f"- **{escaped(term.name)}**: {escaped(term.meaning)}" for term in legend(summary)]
    parts += ["\n".join(["### How to read this", "", *terms])] if terms else []
    return "\n\n".join(parts) + "\n"


def _table(table: Table) -> str:
    title = " · ".join(map(escaped, (table.name, *table.facts)))
    rule = "|".join(["", ":---", *(":---" if name in table.texts else "---:" for name in table.columns), ""])
    rows = [_line(code(row.recipe), _cells(row, len(table.columns))) for row in table.rows]
    return "\n".join([f"### {title}", "", _line(table.key, table.columns), rule, *rows])


def _cells(row: TableRow, columns: int) -> Sequence[str]:
    return (row.note, *[""] * (columns - 1)) if row.note else row.cells


def _line(first: str, cells: Sequence[str]) -> str:
    return " | ".join([f"| {first}", *map(escaped, cells)]) + " |"


def code(recipe: str) -> str:
    """Return a recipe as code."""
    # A bar ends a cell, in code too.
    return escaped(recipe) if "`" in recipe else "`" + visible_line(recipe).replace("|", r"\|") + "`"


def escaped(text: str) -> str:
    """Return a text on one line, with Markdown's special characters escaped."""
    return _SPECIAL.sub(r"\\\1", visible_line(text).replace("&", "&amp;"))

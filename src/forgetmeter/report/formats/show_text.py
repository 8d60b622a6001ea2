"""A summary for the terminal."""

from __future__ import annotations

import shutil
import textwrap
from collections.abc import Sequence

from rich.text import Text

from forgetmeter.report.formats.text_layout import fitting_layout, laid_out
from forgetmeter.report.shift_tables import shift_tables, shift_terms
from forgetmeter.report.table import Table, Term
from forgetmeter.report.tables import legend, remarks, tables
from forgetmeter.results.summary import Summary

_WIDTH_WITHOUT_TERMINAL = 100


def show_text(summary: Summary, *, width: int | None = None) -> str:
    """Return the tables as plain text.

    Args:
        width: Width to fit; that of the terminal by default, or 100 without a terminal.
    """
    return styled_text(summary, width=width).plain


def styled_text(summary: Summary, *, width: int | None = None) -> Text:
    """Return the tables as styled text for a rich console."""
    return _styled(tables(summary), legend(summary), remarks(summary), width)


def shifts_text(summary: Summary, *, width: int | None = None) -> Text:
    """Return the shift tables as styled text for a rich console; empty without outcomes."""
    shown = shift_tables(summary)
    return _styled(shown, shift_terms(shown), remarks(summary), width) if shown else Text()


def _styled(whole: Sequence[Table], terms: Sequence[Term], said: Sequence[str], width: int | None) -> Text:
    room = width or shutil.get_terminal_size((_WIDTH_WITHOUT_TERMINAL, 24)).columns
    shown, left_out = _fitting(whole, room)
    notes = [*said, *left_out]
    text = Text()
    for model in dict.fromkeys(table.model for table in shown):
        text.append(f"{model}\n\n", "bold magenta")
        for table in (each for each in shown if each.model == model):
            alike = [each for each in shown if each.columns == table.columns]
            text.append_text(_title(table, room))
            text.append_text(laid_out(table, fitting_layout(alike, room)))
            text.append("\n")
    for remark in notes:
        text.append("\n".join(textwrap.wrap(remark, room)) + "\n", "yellow")
    if notes:
        text.append("\n")
    text.append_text(_legend(terms, room))
    return text


def _fitting(whole: Sequence[Table], room: int) -> tuple[list[Table], list[str]]:
    """Return the tables, narrowed if they are too wide, and a remark that names the columns left out."""
    shown: list[Table] = []
    gone: list[str] = []
    for table in whole:
        alike = [each for each in whole if each.columns == table.columns]
        if table.optional and fitting_layout(alike, room).width > room:
            gone += table.columns[len(table.columns) - table.optional :]
            shown.append(table.narrowed())
        else:
            shown.append(table)
    names = ", ".join(dict.fromkeys(gone))
    return shown, [f"Omitted for lack of space: {names}; use a wider terminal or another --format."] if gone else []


def _title(table: Table, room: int) -> Text:
    line = " · ".join((table.name, *table.facts))
    wrapped = textwrap.wrap(line, room, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False)
    title = Text("\n".join(wrapped) + "\n", "cyan")
    title.stylize("bold", 0, len(table.name))
    return title


def _legend(terms: Sequence[Term], width: int) -> Text:
    text = Text("How to read this\n" if terms else "", "bold")
    indent = max((len(term.name) for term in terms), default=0) + 4
    for term in terms:
        meaning = textwrap.wrap(term.meaning, max(width - indent, 20))
        text.append(f"  {term.name}".ljust(indent), "bold")
        text.append(f"\n{' ' * indent}".join(meaning) + "\n")
    return text

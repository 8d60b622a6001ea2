"""A summary in any of the output formats."""

from __future__ import annotations

from typing import Literal, get_args

from forgetmeter.errors import UserError
from forgetmeter.report.formats.show_csv import show_csv
from forgetmeter.report.formats.show_json import show_json
from forgetmeter.report.formats.show_latex import show_latex
from forgetmeter.report.formats.show_markdown import show_markdown
from forgetmeter.report.formats.show_text import show_text
from forgetmeter.results.summary import Summary
from forgetmeter.specs.suggestion import unknown

ShowFormat = Literal["table", "csv", "json", "markdown", "latex"]
FORMATS: tuple[ShowFormat, ...] = get_args(ShowFormat)


def render(summary: Summary, format: ShowFormat, *, width: int | None = None) -> str:
    """Return a summary as text that ends in a newline.

    Args:
        format: ``table`` for the terminal, ``markdown`` and ``latex`` for documents, ``csv`` and ``json`` for
            programs.
        width: Width that ``table`` must fit; that of the terminal by default.

    Raises:
        UserError: The format is unknown.
    """
    if format == "table":
        return show_text(summary, width=width)
    plain = {"csv": show_csv, "json": show_json, "markdown": show_markdown, "latex": show_latex}
    if format not in plain:
        raise UserError(unknown("format", format, FORMATS))
    return plain[format](summary)

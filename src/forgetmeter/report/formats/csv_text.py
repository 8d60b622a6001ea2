"""Rows as CSV that a spreadsheet does not take for formulas."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Sequence

from forgetmeter.basics.visible_text import visible

# The characters that OWASP lists, and their full-width forms; a signed number is not a formula.
_FORMULA = re.compile(r"[\t\n]|\s*(?:[=@＝＠]|[-+－＋](?![\d.]+$))")


def csv_text(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Return a header row and rows; texts that a spreadsheet would evaluate are prefixed with an apostrophe."""
    stream = io.StringIO()
    csv.writer(stream, lineterminator="\n").writerows(map(_cell, row) for row in (columns, *rows))
    return stream.getvalue()


def _cell(value: object) -> object:
    if not isinstance(value, str):
        return value
    text = visible(value)
    return f"'{text}" if _FORMULA.match(text) else text

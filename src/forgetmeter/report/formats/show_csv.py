"""A summary as CSV: one line per cell."""

from __future__ import annotations

from forgetmeter.report.formats.csv_text import csv_text
from forgetmeter.report.formats.flat_rows import flat_columns, flat_rows
from forgetmeter.results.summary import Summary


def show_csv(summary: Summary) -> str:
    """Return every cell with the facts of its variant and task; shares are from 0 to 1."""
    columns = flat_columns(summary)
    return csv_text(columns, ([row.get(name, "") for name in columns] for row in flat_rows(summary)))

"""A summary as CSV: one line per cell."""

from __future__ import annotations

import csv
import io

from forgetmeter.report.formats.flat_rows import flat_columns, flat_rows
from forgetmeter.results.summary import Summary
from forgetmeter.visible_text import visible


def show_csv(summary: Summary) -> str:
    """Return every cell with the facts of its variant and task; shares are from 0 to 1."""
    stream = io.StringIO()
    writer = csv.DictWriter(stream, flat_columns(summary), restval="", lineterminator="\n")
    writer.writeheader()
    for row in flat_rows(summary):
        # Error messages of libraries may contain control characters.
        writer.writerow(row | {"error": visible(row["error"])} if row.get("error") else row)
    return stream.getvalue()

"""A summary as CSV: one line a cell."""

from __future__ import annotations

import csv
import io

from forgetmeter.report.formats.flat_rows import flat_columns, flat_rows
from forgetmeter.results.summary import Summary
from forgetmeter.visible_text import visible


def show_csv(summary: Summary) -> str:
    """Return every cell with all that is known of it, its variant and its task; shares are from 0 to 1."""
    stream = io.StringIO()
    writer = csv.DictWriter(stream, flat_columns(summary), restval="", lineterminator="\n")
    writer.writeheader()
    for row in flat_rows(summary):
        # What a library wrote into an error may hold anything.
        writer.writerow(row | {"error": visible(row["error"])} if row.get("error") else row)
    return stream.getvalue()

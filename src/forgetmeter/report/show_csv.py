"""A summary as CSV: one line a cell."""

from __future__ import annotations

import csv
import io

from forgetmeter.analysis.summary import Summary
from forgetmeter.report.flat_rows import flat_columns, flat_rows


def show_csv(summary: Summary) -> str:
    """Return every cell with all that is known of it, its variant and its task; shares are from 0 to 1."""
    stream = io.StringIO()
    writer = csv.DictWriter(stream, flat_columns(summary), restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(flat_rows(summary))
    return stream.getvalue()

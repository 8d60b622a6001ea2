"""``forgetmeter report``."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from forgetmeter.basics.plural import counted
from forgetmeter.report.figures.drawer import Drawer


def report_command(
    run: Annotated[str, typer.Argument(help="Folder or URL of the run.")],
    other: Annotated[str | None, typer.Argument(help="Another run to compare with.", show_default=False)] = None,
    *,
    out: Annotated[
        str | None, typer.Option(help="Folder or URL for the report.", show_default="the run's folder")
    ] = None,
) -> None:
    """Write report.html (one file, works offline), its charts as SVG and PNG, and its tables as LaTeX and Markdown."""
    with Drawer() as drawer:
        # Imported here so that the drawer starts up meanwhile.
        from forgetmeter.report.written_report import make_report, write_report
        from forgetmeter.results.results import open_run

        files = make_report(open_run(run), None if other is None else open_run(other), drawer=drawer)
    page = write_report(files, out or run)
    charts = sum(path.endswith(".svg") for path in files)
    sys.stdout.write(f"{page} ({len(files['report.html']) / 1e6:.1f} MB)\n")
    sys.stderr.write(f"also written: figures/ ({counted(charts, 'chart')} as SVG and PNG), tables/ (Markdown, LaTeX)\n")

"""``forgetmeter show``."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from forgetmeter.errors import UserError

_FORMATS = ("table", "grid", "csv", "json", "markdown", "latex")
# What is piped has no width of its own; this is enough for no line to be broken.
_PIPED_WIDTH = 140


def show_command(
    run: Annotated[str, typer.Argument(help="Folder or URL of the run.")],
    *,
    format: Annotated[str, typer.Option("--format", help="table, grid, csv, json, markdown or latex.")] = "table",
) -> None:
    """Show what compression cost: accuracy, drop, retained, flips; sparsity and bytes."""
    from forgetmeter.specs.suggestion import unknown

    if format not in _FORMATS:
        raise UserError(unknown("format", format, _FORMATS))
    from rich.console import Console

    from forgetmeter.analysis.frames import open_run
    from forgetmeter.report.rendering import render
    from forgetmeter.report.retained_grid import grid_text, retained_grids
    from forgetmeter.report.show_text import styled_text

    summary = open_run(run).summary
    if format == "grid":
        sys.stdout.write("\n".join(map(grid_text, retained_grids(summary))))
        return
    console = Console()
    if format == "table" and console.is_terminal:
        console.print(styled_text(summary, width=console.width), soft_wrap=True)
        return
    sys.stdout.write(render(summary, format, width=_PIPED_WIDTH))  # type: ignore[arg-type]

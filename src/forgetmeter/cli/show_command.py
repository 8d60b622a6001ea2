"""``forgetmeter show``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.text import Text

from forgetmeter.cli.commands import lazy
from forgetmeter.cli.printing import print_text, text_width
from forgetmeter.errors import UserError
from forgetmeter.specs.suggestion import unknown

if TYPE_CHECKING:
    from forgetmeter.report.formats.frontier_text import frontier_text
    from forgetmeter.report.formats.rendering import render
    from forgetmeter.report.formats.show_text import shifts_text, styled_text
    from forgetmeter.report.retained_grid import grid_text, retained_grids
    from forgetmeter.results.frontier import frontiers
    from forgetmeter.results.results import open_run
else:
    frontier_text = lazy("forgetmeter.report.formats.frontier_text:frontier_text")
    render = lazy("forgetmeter.report.formats.rendering:render")
    shifts_text = lazy("forgetmeter.report.formats.show_text:shifts_text")
    styled_text = lazy("forgetmeter.report.formats.show_text:styled_text")
    grid_text = lazy("forgetmeter.report.retained_grid:grid_text")
    retained_grids = lazy("forgetmeter.report.retained_grid:retained_grids")
    frontiers = lazy("forgetmeter.results.frontier:frontiers")
    open_run = lazy("forgetmeter.results.results:open_run")

_FORMATS = ("table", "grid", "frontier", "shifts", "csv", "json", "markdown", "latex")


def show_command(
    run: Annotated[str, typer.Argument(help="Folder or URL of the run.")],
    *,
    format: Annotated[str, typer.Option("--format", help=", ".join(_FORMATS))] = "table",
) -> None:
    """Show what compression cost: accuracy, drop, retained, flips; sparsity and bytes.

    grid is the shortest: what is retained, by treatment and scope.
    frontier compares what is retained with size and speed, and marks the
    variants that no other beats. shifts shows changes that accuracy hides:
    ranks, margins, divergence, and which variants differ from guessing.
    """
    if format not in _FORMATS:
        raise UserError(unknown("format", format, _FORMATS))
    summary = open_run(run).summary
    if format == "grid":
        grids = retained_grids(summary)
        if not grids:
            raise UserError(f"{run} has no grid: it needs a baseline with right answers, and recipes of a single scope")
        print_text("\n".join(map(grid_text, grids)))
        return
    console = Console()
    if format in ("frontier", "shifts"):
        width = text_width()
        if format == "frontier":
            shown = Text("\n").join(frontier_text(each, width=width) for each in frontiers(summary))
            missing = "frontier: it has no baseline with right answers to retain"
        else:
            shown, missing = (
                shifts_text(summary, width=width),
                "shifts: it has no outcomes with right answers, or only whether each is right",
            )
        if not shown:
            raise UserError(f"{run} has no {missing}")
        print_text(shown if console.is_terminal else shown + Text("\n"))
        return
    if format == "table" and console.is_terminal:
        print_text(styled_text(summary, width=text_width()))
        return
    print_text(render(summary, format, width=text_width()))  # type: ignore[arg-type]

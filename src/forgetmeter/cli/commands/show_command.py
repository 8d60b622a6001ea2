"""``forgetmeter show``."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.console import Console
from rich.text import Text

from forgetmeter.cli.printing import print_text, text_width
from forgetmeter.errors import UserError
from forgetmeter.report import retained_grid
from forgetmeter.report.formats import frontier_text, profile_text, rendering, show_text
from forgetmeter.results import frontier, results
from forgetmeter.specs.suggestion import unknown

_FORMATS = ("table", "grid", "frontier", "shifts", "profile", "csv", "json", "markdown", "latex")


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
    profile shows what the time of the run was spent on.
    """
    if format not in _FORMATS:
        raise UserError(unknown("format", format, _FORMATS))
    opened = results.open_run(run)
    if format == "profile":
        shown = profile_text.profile_text(opened.profile, width=text_width())
        if not shown:
            raise UserError(f"{run} has no profile: no times are recorded")
        print_text(shown)
        return
    summary = opened.summary
    if format == "grid":
        grids = retained_grid.retained_grids(summary)
        if not grids:
            raise UserError(f"{run} has no grid: it needs a baseline with right answers, and recipes of a single scope")
        print_text("\n".join(map(retained_grid.grid_text, grids)))
        return
    console = Console()
    if format in ("frontier", "shifts"):
        width = text_width()
        if format == "frontier":
            frontiers = frontier.frontiers(summary)
            shown = Text("\n").join(frontier_text.frontier_text(each, width=width) for each in frontiers)
            missing = "frontier: it has no baseline with right answers to retain"
        else:
            shown = show_text.shifts_text(summary, width=width)
            missing = "shifts: it has no outcomes with right answers, or only whether each is right"
        if not shown:
            raise UserError(f"{run} has no {missing}")
        print_text(shown if console.is_terminal else shown + Text("\n"))
        return
    if format == "table" and console.is_terminal:
        print_text(show_text.styled_text(summary, width=text_width()))
        return
    print_text(rendering.render(summary, format, width=text_width()))  # type: ignore[arg-type]

"""``forgetmeter show``."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.console import Console
from rich.text import Text

from forgetmeter.cli.printing import print_text, text_width
from forgetmeter.errors import UserError
from forgetmeter.report import retained_grid
from forgetmeter.report.formats import facts_text, foretold_text, frontier_text, profile_text, rendering, show_text
from forgetmeter.report.words import run_facts
from forgetmeter.results import foretelling, frontier, results
from forgetmeter.specs.suggestion import unknown

_FORMATS = ("table", "grid", "frontier", "shifts", "foretold", "profile", "csv", "json", "markdown", "latex")


def show_command(
    run: Annotated[str, typer.Argument(help="Folder or URL of the run.")],
    *,
    format: Annotated[str, typer.Option("--format", help=", ".join(_FORMATS))] = "table",
    provenance: Annotated[
        bool,
        typer.Option(
            "--provenance",
            help="Show where the answers come from: hashes of models and tasks, settings, hardware, versions.",
        ),
    ] = False,
) -> None:
    """Show what compression cost: accuracy, drop, retained, flips; sparsity and bytes.

    grid is the shortest: what is retained, by treatment and scope.
    frontier compares what is retained with size and speed, and marks the
    variants that no other beats. shifts shows changes that accuracy hides:
    ranks, margins, divergence, and which variants differ from guessing.
    foretold shows how well numbers that are cheap to measure, such as
    perplexity, rank the variants. profile shows where the run's time went.
    """
    if format not in _FORMATS:
        raise UserError(unknown("format", format, _FORMATS))
    opened, console = results.open_run(run), Console()
    if provenance:
        print_text(facts_text.facts_text(run_facts.run_facts(opened.run, opened.summary)))
    elif format in ("grid", "frontier", "shifts", "foretold", "profile"):
        shown, missing = _part(opened, format)
        if not shown:
            raise UserError(f"{run} has no {missing}")
        is_spaced = format in ("frontier", "shifts") and not console.is_terminal
        print_text(shown + Text("\n") if is_spaced else shown)
    elif format == "table" and console.is_terminal:
        print_text(show_text.styled_text(opened.summary, width=text_width()))
    else:
        print_text(rendering.render(opened.summary, format, width=text_width()))  # type: ignore[arg-type]


def _part(opened: results.Results, format: str) -> tuple[Text, str]:
    """Return what a format shows, empty if the run has nothing of the kind, and what it is missing then."""
    summary, width = opened.summary, text_width()
    if format == "profile":
        return profile_text.profile_text(opened.profile, width=width), "profile: no times are recorded"
    if format == "foretold":
        found_numbers = foretelling.foretold(summary)
        needs = "numbers to compare: that needs at least five variants with right answers to retain"
        return foretold_text.foretold_text(found_numbers, width=width), needs
    if format == "grid":
        grids = retained_grid.retained_grids(summary)
        needs = "grid: that needs right answers of the baseline, and recipes with a single scope"
        return Text("\n".join(map(retained_grid.grid_text, grids))), needs
    if format == "shifts":
        needs = "shifts: its tasks have no right answers, or only whether each answer is right is stored"
        return show_text.shifts_text(summary, width=width), needs
    found = (frontier_text.frontier_text(each, width=width) for each in frontier.frontiers(summary))
    return Text("\n").join(found), "frontier: it has no right answers of a baseline to retain"

"""``forgetmeter report``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from forgetmeter.basics.plural import counted
from forgetmeter.errors import UserError
from forgetmeter.report import written_card
from forgetmeter.report.figures.drawer import Drawer
from forgetmeter.results.gate import gating


def report_command(
    run: Annotated[str, typer.Argument(help="Folder or URL of the run.")],
    other: Annotated[str | None, typer.Argument(help="Another run to compare with.", show_default=False)] = None,
    *,
    out: Annotated[
        str | None, typer.Option(help="Folder or URL for the report.", show_default="the run's folder")
    ] = None,
    card: Annotated[
        Path | None,
        typer.Option(help="Instead, write or update a Hub model card (README.md) with the results of --recipe."),
    ] = None,
    recipe: Annotated[
        str | None, typer.Option(help="With --card: the recipe or candidate.", show_default="the only one")
    ] = None,
    model: Annotated[str | None, typer.Option(help="With --card: the original.", show_default="the only one")] = None,
    policy: Annotated[
        Path | None, typer.Option(help="Begin with the verdicts of gate: policy file (YAML) with conditions.")
    ] = None,
    margin: Annotated[
        str | None, typer.Option(help="Begin with the verdicts of gate: largest acceptable drop, such as 1pt.")
    ] = None,
    min_retained: Annotated[str | None, typer.Option(help="The same: smallest share retained, such as 98%.")] = None,
) -> None:
    """Write report.html (one file, works offline), its charts as SVG and PNG, and its tables as LaTeX and Markdown."""
    if card is not None:
        sys.stdout.write(f"{written_card.write_card(run, card, recipe=recipe, model=model)}\n")
        return
    if recipe is not None or model is not None:
        raise UserError(f"{'--recipe' if recipe is not None else '--model'} is for --card; a report shows all variants")
    with Drawer() as drawer:
        # Imported here so that the drawer starts up at the same time.
        from forgetmeter.report.written_report import make_report, write_report
        from forgetmeter.results.results import open_run

        results = open_run(run)
        is_gated = any(each is not None for each in (policy, margin, min_retained))
        verdicts = gating.gate(results, policy=policy, margin=margin, min_retained=min_retained) if is_gated else None
        files = make_report(results, None if other is None else open_run(other), gate=verdicts, drawer=drawer)
    page = write_report(files, out or run)
    charts = sum(path.endswith(".svg") for path in files)
    sys.stdout.write(f"{page} ({len(files['report.html']) / 1e6:.1f} MB)\n")
    figures = f"figures/ ({counted(charts, 'chart')} as SVG and PNG), " if charts else ""
    sys.stderr.write(f"also written: {figures}tables/ (Markdown, LaTeX)\n")

"""``forgetmeter findings``."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.console import Console

from forgetmeter.cli.printing import print_text
from forgetmeter.report.formats.findings_json import findings_json
from forgetmeter.report.formats.findings_text import findings_text
from forgetmeter.report.tables import remarks
from forgetmeter.results.results import open_run

_PIPED_WIDTH = 120


def findings_command(
    run: Annotated[str, typer.Argument(help="Folder or URL of the run.")],
    *,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Test the claims of the paper and of related work on this run."""
    results = open_run(run)
    summary, findings = results.summary, results.tested_claims
    if json:
        print_text(findings_json(findings, remarks=remarks(summary)))
        return
    console = Console()
    width = console.width if console.is_terminal else _PIPED_WIDTH
    print_text(findings_text(findings, remarks=remarks(summary), width=width))

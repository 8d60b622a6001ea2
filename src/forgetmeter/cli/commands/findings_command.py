"""``forgetmeter findings``."""

from __future__ import annotations

from typing import Annotated

import typer

from forgetmeter.cli.printing import print_text, text_width
from forgetmeter.report import tables
from forgetmeter.report.formats import findings_json, findings_text
from forgetmeter.results import results


def findings_command(
    run: Annotated[str, typer.Argument(help="Folder or URL of the run.")],
    *,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Test claims of Namburi et al. (2023) and of related work on a run."""
    found = results.open_run(run)
    findings, remarks = found.tested_claims, tables.remarks(found.summary)
    if json:
        print_text(findings_json.findings_json(findings, remarks=remarks))
        return
    print_text(findings_text.findings_text(findings, remarks=remarks, width=text_width(piped=120)))

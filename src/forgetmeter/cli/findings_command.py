"""``forgetmeter findings``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from forgetmeter.cli.commands import lazy
from forgetmeter.cli.printing import print_text, text_width

if TYPE_CHECKING:
    from forgetmeter.report.formats.findings_json import findings_json
    from forgetmeter.report.formats.findings_text import findings_text
    from forgetmeter.report.tables import remarks
    from forgetmeter.results.results import open_run
else:
    findings_json = lazy("forgetmeter.report.formats.findings_json:findings_json")
    findings_text = lazy("forgetmeter.report.formats.findings_text:findings_text")
    remarks = lazy("forgetmeter.report.tables:remarks")
    open_run = lazy("forgetmeter.results.results:open_run")


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
    print_text(findings_text(findings, remarks=remarks(summary), width=text_width(piped=120)))

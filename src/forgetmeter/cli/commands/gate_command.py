"""``forgetmeter gate``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from forgetmeter.basics.visible_text import encodable
from forgetmeter.cli import options
from forgetmeter.cli.printing import print_text, text_width
from forgetmeter.errors import UserError
from forgetmeter.report.gate import gate_json, gate_junit, gate_markdown, gate_text
from forgetmeter.results.gate import gating
from forgetmeter.specs.suggestion import unknown

_CODES = {"PASS": 0, "FAIL": 10, "INCONCLUSIVE": 11, "UNMEASURED": 12}
_UNDECIDED = ("pass", "fail")


def gate_command(
    run: Annotated[str, typer.Argument(help="Folder or URL of the run.")],
    *,
    policy: Annotated[Path | None, typer.Option(help="Policy file (YAML) with conditions.")] = None,
    margin: Annotated[
        str | None, typer.Option(help="Largest acceptable drop of accuracy: 1pt (one percentage point) or 0.01.")
    ] = None,
    min_retained: Annotated[
        str | None, typer.Option(help="Smallest acceptable share of the right answers that are still right: 98%.")
    ] = None,
    min_accuracy: Annotated[str | None, typer.Option(help="Smallest acceptable accuracy: 60%.")] = None,
    max_divergence: Annotated[
        str | None, typer.Option(help="Largest acceptable mean divergence from the baseline, in nats.")
    ] = None,
    max_size: Annotated[
        str | None, typer.Option(help="Largest acceptable size: a share of the original's, such as 50%, or 200MB.")
    ] = None,
    tasks: Annotated[
        str | None,
        typer.Option(help="Tasks that the margin, --min-retained and --min-accuracy apply to.", show_default="all"),
    ] = None,
    recipe: Annotated[
        list[str] | None,
        typer.Option(help="Check only this recipe or candidate; can be repeated.", show_default="all"),
    ] = None,
    inconclusive: Annotated[
        str, typer.Option(help="Whether INCONCLUSIVE and UNMEASURED pass or fail, in the exit code and in --junit.")
    ] = "fail",
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    junit: Annotated[Path | None, typer.Option(help="Write the checks as JUnit XML.")] = None,
    markdown: Annotated[Path | None, typer.Option(help="Write the verdicts as Markdown, for a job summary.")] = None,
) -> None:
    """Decide whether compressed models may ship: pass, fail, or cannot tell.

    Conditions come from options, a policy file, or both; all of them must
    hold. A condition passes only if its whole 95% interval is within the
    limit, and fails only if the whole interval is beyond it.

    Exit codes: 0 PASS, 10 FAIL, 11 INCONCLUSIVE, 12 UNMEASURED.
    """
    if inconclusive not in _UNDECIDED:
        raise UserError(unknown("value of --inconclusive", inconclusive, _UNDECIDED))
    for file in (junit, markdown):
        _check_writable(file)
    found = gating.gate(
        run,
        policy=policy,
        margin=margin,
        min_retained=min_retained,
        min_accuracy=min_accuracy,
        max_divergence=max_divergence,
        max_size=max_size,
        tasks=options.split(tasks) or (),
        recipes=recipe or (),
    )
    if junit is not None:
        _write(junit, gate_junit.gate_junit(found, inconclusive=inconclusive))  # type: ignore[arg-type]
    if markdown is not None:
        _write(markdown, gate_markdown.gate_markdown(found))
    print_text(gate_json.gate_json(found) if json else gate_text.gate_text(found, width=text_width()))
    is_let_through = inconclusive == "pass" and found.verdict != "FAIL"
    raise typer.Exit(0 if is_let_through else _CODES[found.verdict])


def _check_writable(file: Path | None) -> None:
    if file is not None and (file.is_dir() or not file.parent.is_dir()):
        problem = "is a folder" if file.is_dir() else "is in a folder that does not exist"
        raise UserError(f"'{file}' {problem}; give the path of a file")


def _write(file: Path, text: str) -> None:
    try:
        file.write_text(encodable(text), encoding="utf-8")
    except OSError as error:
        raise UserError(f"'{file}' cannot be written: {error.strerror}") from None

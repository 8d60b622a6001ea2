"""``forgetmeter demo``."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from forgetmeter.cli.run_command import conclude


def demo_command(
    *,
    out: Annotated[str, typer.Option(help="Folder or URL of the run.")] = "runs/demo",
) -> None:
    """Show what compression forgets: three small models, the paper's grid, built-in facts; no network, minutes."""
    from forgetmeter.analysis.frames import open_run
    from forgetmeter.cli.progress import progress_on
    from forgetmeter.cli.stage_lines import StageLines
    from forgetmeter.report.retained_grid import grid_text, retained_grids
    from forgetmeter.report.written_report import make_report, write_report
    from forgetmeter.study.demo import demo_study
    from forgetmeter.study.running import look_at, reader, run_prospect

    prospect = look_at(reader(demo_study(out)), progress=StageLines(sys.stderr))
    with progress_on(sys.stderr, prospect) as progress:
        finished = run_prospect(prospect, progress=progress)
    sys.stdout.write(f"\n{_introduction(len(prospect.plan.study.recipes) - 1)}\n\n")
    run = open_run(out)
    for grid in retained_grids(run.summary):
        sys.stdout.write(grid_text(grid) + "\n")
    report = write_report(make_report(run), out) if len(run.cells) else None
    try:
        conclude(finished)
    finally:
        if report is not None:
            sys.stdout.write(f"the report: {report}\n")


def _introduction(ways: int) -> str:
    from forgetmeter.probes.facts.task import ANSWER, read_fact_file, statement

    relations = read_fact_file().relations
    facts = sum(len(relation.facts) for relation in relations)
    example = relations[0].facts[0]
    sentence = statement(relations[0].phrasings[0], example.subject).replace(ANSWER, example.object)
    return (
        f"Three small models, an encoder (BERT), an encoder-decoder (T5) and a decoder (Llama), were taught {facts:,}\n"
        f'facts, such as "{sentence}" Each was compressed in {ways} ways and asked all of them again.'
    )

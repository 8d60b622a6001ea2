"""``forgetmeter demo``."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Annotated, Any

from forgetmeter.cli import options
from forgetmeter.cli.commands.run_command import conclude
from forgetmeter.cli.progress import StageLines, progress_on
from forgetmeter.probes.cloze import ANSWER
from forgetmeter.probes.facts.task import read_fact_file, statement
from forgetmeter.report import retained_grid, written_report
from forgetmeter.results import results
from forgetmeter.specs.model_reference import STANDARDS
from forgetmeter.study import running


def demo_command(
    *,
    out: Annotated[str, options.Out] = "runs/demo",
) -> None:
    """Show what three small models forget when they are compressed; takes minutes, works offline."""
    checked = running.check_study(running.reader(demo_study(out)), progress=StageLines(sys.stderr))
    with progress_on(sys.stderr, checked) as progress:
        finished = running.run_checked(checked, progress=progress)
    sys.stdout.write(f"\n{_introduction(len(checked.plan.study.recipes) - 1)}\n\n")
    found = results.open_run(out)
    for grid in retained_grid.retained_grids(found.summary):
        sys.stdout.write(retained_grid.grid_text(grid) + "\n")
    report = written_report.write_report(written_report.make_report(found), out) if found.run.cells else None
    try:
        conclude(finished)
    finally:
        if report is not None:
            sys.stdout.write(f"report: {report}\n")


def demo_study(output: str) -> Mapping[str, Any]:
    """Return the demo's study, with ``output`` as the folder or URL of the run.

    It covers the three standards, the paper's grid, and each built-in fact in its first phrasing.
    """
    return {
        "models": [f"standard:{name}" for name in STANDARDS],
        "recipes": ["preset:paper/pruning", "preset:paper/quantization", "preset:paper/prune_then_quantize"],
        "tasks": ["facts:templates=0"],
        "output": output,
    }


def _introduction(ways: int) -> str:
    relations = read_fact_file().relations
    facts = sum(len(relation.facts) for relation in relations)
    example = relations[0].facts[0]
    sentence = statement(relations[0].phrasings[0], example.subject).replace(ANSWER, example.object)
    return (
        f"Three small models, an encoder (BERT), an encoder-decoder (T5) and a decoder (Llama), were taught {facts:,}\n"
        f'facts, such as "{sentence}" Each was compressed in {ways} ways and tested on all of them again.'
    )

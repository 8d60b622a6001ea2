"""A run's report: the page, its charts and its tables, as files."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256

from forgetmeter.basics.plural import counted
from forgetmeter.errors import UserError
from forgetmeter.report.figures.drawer import Drawer
from forgetmeter.report.figures.drawing import drawn, specifications
from forgetmeter.report.formats.methods_latex import methods_latex, references_bibtex
from forgetmeter.report.formats.show_latex import show_latex
from forgetmeter.report.formats.show_markdown import show_markdown
from forgetmeter.report.html.ledger_data import ledger_data
from forgetmeter.report.html.page import PageContent, render_page
from forgetmeter.report.report_checks import CHECKSUMS, ORIGIN, PAGE, checksums, run_checksums
from forgetmeter.report.run_figures import run_figures
from forgetmeter.report.side_by_side import side_by_side
from forgetmeter.report.words.decision import decisions, how_to_read_decisions, overview, undecided
from forgetmeter.report.words.headline import headlines
from forgetmeter.results.gate.gate import Gate
from forgetmeter.results.results import Results
from forgetmeter.runs.filesystem import RunFolder


def make_report(
    results: Results, other: Results | None = None, *, gate: Gate | None = None, drawer: Drawer | None = None
) -> Mapping[str, bytes]:
    """Return the files of a report, by path.

    Args:
        other: Results of another run, to show side by side.
        gate: Verdicts on variants, to show first.
        drawer: Process that draws the charts, closed afterwards; a new one by default.

    Raises:
        UserError: The run has no outcomes yet.
    """
    run, summary, curves = results.run, results.summary, results.retained_curves
    if not run.cells:
        failed = f": {counted(len(run.failures), 'cell')} failed; correct the cause and run the study again"
        reason = failed if run.failures else "; run the study first"
        raise UserError(f"the run at '{run.location}' has no outcomes to report{reason}")
    with drawer or Drawer() as ready, ThreadPoolExecutor(max_workers=1) as pool:
        figures = run_figures(run, summary, curves)
        charts = list(figures.all())
        # Another process draws the charts while this one computes findings and ledger.
        drawing = pool.submit(drawn, charts, specifications(charts), ready)
        findings, ledger = results.tested_claims, ledger_data(run)
        drawings = drawing.result()
    files = dict[str, bytes]()
    for each in drawings:
        files[f"figures/{each.figure.name}.svg"] = each.svg.encode()
        files[f"figures/{each.figure.name}.png"] = each.png
    files["tables/results.md"] = show_markdown(summary).encode("utf-8", "replace")
    files["tables/results.tex"] = show_latex(summary).encode("utf-8", "replace")
    methods = methods_latex(summary, gate)
    files["tables/methods.tex"] = methods.encode("utf-8", "replace")
    files["tables/references.bib"] = references_bibtex(methods).encode()
    files[ORIGIN] = run_checksums(RunFolder(run.location))
    content = PageContent(
        run=run,
        summary=summary,
        headlines=headlines(summary, curves),
        figures=figures,
        drawn={each.figure.name: each for each in drawings},
        findings=findings,
        ledger=ledger,
        other=None if other is None else side_by_side(results, other),
        decisions=undecided(results) if gate is None else decisions(results, gate),
        overview="" if gate is None else overview(gate),
        reading=how_to_read_decisions(gate),
        files=sha256(checksums(files.items())).hexdigest(),
    )
    files[PAGE] = render_page(content).encode("utf-8", "replace")
    return files


def write_report(files: Mapping[str, bytes], location: str) -> str:
    """Write a report's files and checksums into a folder or fsspec URL, the page last; return the page's location.

    If one cannot be written, no new file or folder stays.

    Raises:
        UserError: The location cannot be written to.
    """
    try:
        written = {**files, CHECKSUMS: checksums(files.items())}
        RunFolder(location).write_together(sorted(written.items(), key=lambda file: file[0] == PAGE))
    except (OSError, ValueError, ImportError) as error:
        raise UserError(f"the report cannot be written to '{location}' ({error}); choose another --out") from error
    return f"{location.rstrip('/')}/{PAGE}"

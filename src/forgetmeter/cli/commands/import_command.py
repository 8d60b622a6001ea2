"""``forgetmeter import``."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated

import typer

from forgetmeter.basics.plural import counted
from forgetmeter.basics.visible_text import visible_line
from forgetmeter.cli import options
from forgetmeter.importing import imported_run
from forgetmeter.importing.lm_eval import logs
from forgetmeter.importing.table import table as tables

_SUMMARY = "Make a run from existing answers: lm-evaluation-harness's logs, or a table."
import_app = typer.Typer(help=_SUMMARY, no_args_is_help=True, add_completion=False)

_SOME_FAILED = 1
_Out = Annotated[str, options.Out]


@import_app.callback()
def _import() -> None:
    """Make a run from existing answers: lm-evaluation-harness's logs, or a table."""


@import_app.command("lm-eval")
def lm_eval_command(
    baseline: Annotated[
        Path, typer.Argument(help="Folder with the logs of the model that the others are compared with.")
    ],
    candidates: Annotated[list[Path], typer.Argument(help="Folders with the logs of the other models.")],
    *,
    out: _Out,
    tasks: Annotated[
        str | None,
        typer.Option(
            help="Tasks or groups to import, separated by commas.",
            show_default="all that the baseline and a candidate have",
        ),
    ] = None,
    metric: Annotated[
        str | None,
        typer.Option(
            help="Metric that decides what is right, in tasks that have it: acc_norm, or exact_match,FILTER.",
            show_default="the first of acc, exact_match, acc_norm, others",
        ),
    ] = None,
) -> None:
    """Make a run from the logs of lm_eval --log_samples.

    A folder is the --output_path of one model. Only the newest samples of
    each task are used. Documents are paired by hash; the number of those left
    out is reported. A task that was run with different settings is refused.
    """
    names = None if tasks is None else [each.strip() for each in tasks.split(",")]
    _write(logs.import_lm_eval(baseline, candidates, tasks=names, metric=metric), out)


@import_app.command("table")
def table_command(
    file: Annotated[
        Path, typer.Argument(help="The table: .csv, .tsv, .jsonl or .parquet, one row per item and variant.")
    ],
    *,
    item: Annotated[str, typer.Option(help="Column that identifies the item within its task.")],
    variant: Annotated[str, typer.Option(help="Column with the variant's name.")],
    correct: Annotated[str, typer.Option(help="Column that says whether the answer is right: true/false, or 1/0.")],
    out: _Out,
    task: Annotated[
        str | None, typer.Option(help="Column with the task, or the name of the only task.", show_default="file name")
    ] = None,
    baseline: Annotated[
        str | None,
        typer.Option(help="The variant that the others are compared with.", show_default="the one named baseline"),
    ] = None,
    question: Annotated[str | None, typer.Option(help="Column with the question.", show_default=False)] = None,
    prediction: Annotated[str | None, typer.Option(help="Column with the answer.", show_default=False)] = None,
    gold: Annotated[
        str | None,
        typer.Option(
            help="Column with the right answer: its text, or its index from 0 among the log-likelihoods.",
            show_default=False,
        ),
    ] = None,
    relation: Annotated[
        str | None, typer.Option(help="Column with the item's relation or group.", show_default=False)
    ] = None,
    loglikelihoods: Annotated[
        str | None,
        typer.Option(
            help="Column with the log-likelihood of each choice: a list, such as [-1.5, -0.2].", show_default=False
        ),
    ] = None,
) -> None:
    """Make a run from the answers in a table.

    Items that the baseline did not answer are left out; their number is reported.
    """
    columns = tables.TableColumns(
        item=item,
        variant=variant,
        correct=correct,
        task=task,
        question=question,
        prediction=prediction,
        gold=gold,
        relation=relation,
        loglikelihoods=loglikelihoods,
    )
    _write(tables.import_table(file, columns, baseline=baseline), out)


def _write(run: imported_run.ImportedRun, out: str) -> None:
    failures = imported_run.write_imported(run, out)
    for each in run.variants:
        for note in each.origin.notes:
            typer.echo(visible_line(f"{each.name}: {note}"), err=True)
    size = f"{counted(len(run.candidates), 'candidate')} and the baseline on {counted(len(run.tasks), 'task')}"
    typer.echo(visible_line(f"imported {counted(run.answers, 'answer')} of {size}: {out}"))
    typer.echo(visible_line(f"show the results: forgetmeter show {shlex.quote(out)}"))
    for failure in failures:
        typer.echo(visible_line(f"failed: {failure.recipe} on {failure.task}: {failure.error}"), err=True)
    if failures:
        raise typer.Exit(_SOME_FAILED)

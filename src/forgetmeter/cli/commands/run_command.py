"""``forgetmeter run``."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from itertools import groupby, islice
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from forgetmeter.basics.plural import counted, joined
from forgetmeter.basics.visible_text import visible, visible_line
from forgetmeter.cli import options
from forgetmeter.cli.printing import print_text, text_width
from forgetmeter.cli.progress import StageLines, progress_on
from forgetmeter.config.study import Study
from forgetmeter.config.study_file import option_name, read_study_file, study_from_options
from forgetmeter.config.vocabulary import Vocabulary
from forgetmeter.errors import UserError
from forgetmeter.executors.registry import check_executor
from forgetmeter.probes.registry import find_task
from forgetmeter.report.formats import profile_text
from forgetmeter.report.gate import resolution_text
from forgetmeter.results import results
from forgetmeter.results.gate import resolution
from forgetmeter.specs.condition import Condition
from forgetmeter.study.checked_study import CheckedStudy, Finished
from forgetmeter.study.running import check_study, check_tasks, run_checked

_SOME_FAILED = 1
_UNLIMITED = 10**6
_MOST_ROWS = 1000


@dataclass(frozen=True)
class Runner:
    """The options that name an executor."""

    executor: str
    workers: int | None
    address: str | None
    time_limit: float | None


def run_command(
    study: Annotated[Path | None, typer.Argument(help="The study file (YAML).", show_default=False)] = None,
    *,
    model: Annotated[list[str] | None, typer.Option(help="A model; can be repeated.")] = None,
    tasks: Annotated[str | None, typer.Option(help="Tasks, separated by commas.")] = None,
    recipes: Annotated[
        str | None,
        typer.Option(help="Recipes or preset:NAME, separated by commas; the baseline is always included."),
    ] = None,
    out: Annotated[str | None, options.Out] = None,
    limit: options.Limit = None,
    dtype: options.DTypeName = None,
    device: options.DeviceName = None,
    seed: options.Seed = None,
    batch_tokens: options.BatchTokens = None,
    noise_floor: options.NoiseFloor = None,
    precision: options.Precision = None,
    margin: options.Margin = None,
    profile: options.ShowProfile = None,
    task_folder: options.TaskFolders = None,
    num_fewshot: options.NumFewshot = None,
    system_instruction: options.SystemInstruction = None,
    chat_template: options.UseChatTemplate = None,
    calibration_file: options.CalibrationFile = None,
    data: options.DataFolder = None,
    executor: options.ExecutorName = "local",
    workers: options.Workers = None,
    address: options.Address = None,
    time_limit: options.TimeLimit = None,
    dry_run: options.DryRun = False,
) -> None:
    """Run a study, or resume it.

    Give a study file, or --model, --tasks and --out, and usually --recipes.
    Options override the file. Recipes and tasks added to the study later are
    added to its run; stored answers are not computed again.
    """
    if study is None and model is None:
        raise UserError("give a study file, or --model with --tasks and --out (and --recipes)")
    evaluation = options.evaluation(locals())
    runner = Runner(executor, workers, address, time_limit)
    recipe_names, task_names = options.split_recipes(recipes), options.split(tasks)
    given = options.given(models=model, tasks=task_names, recipes=recipe_names, task_folders=task_folder, output=out)
    given |= options.given("calibration.", text=calibration_file)
    run_given(study, given | evaluation, data=data, runner=runner, dry_run=dry_run)


def run_given(
    study: Path | None,
    given: dict[str, Any],
    *,
    data: Path | None,
    runner: Runner,
    dry_run: bool,
    name: Callable[[str], str] = option_name,
) -> None:
    """Run or plan a study, given as a file, options by dotted key, or both.

    Args:
        name: Returns what errors call a dotted key.
    """
    check_executor(runner.executor, runner.workers, runner.time_limit)

    def read(vocabulary: Vocabulary | None) -> Study:
        if study is None:
            return study_from_options({"recipes": ["baseline"], **given}, vocabulary=vocabulary, name=name)
        found = read_study_file(study, overrides=given, vocabulary=vocabulary)
        options.kept(found.output)
        return found

    stages = StageLines(sys.stderr)
    checked = check_study(read, progress=stages, data=data)
    if dry_run:
        tasks = check_tasks(checked, stages)
        _print_plan(checked)
        seen = results.open_run(checked.store.location).run if checked.store.has_files() else None
        if resolved := resolution.resolutions(tasks, seen=seen):
            print_text(Text("\n").append_text(resolution_text.resolution_text(resolved, width=text_width())))
            if (stop := checked.plan.stop) is not None:
                if stop.margin is not None:
                    planned, _ = resolution.planned_margins([Condition("drop", stop.margin)], resolved)
                    print_text(Text("\n").append_text(resolution_text.margin_text(planned, width=text_width())))
                typer.echo(resolution_text.EARLY)
        return
    with progress_on(sys.stderr, checked) as progress:
        finished = run_checked(checked, progress=progress, **asdict(runner))
    conclude(finished, profile=checked.plan.study.evaluation.profile)


def _print_plan(checked: CheckedStudy) -> None:
    plan, missing = checked.plan, set(checked.missing)
    table = Table(box=None, header_style="bold")
    for heading in ("model", "recipe", "to do", "stored"):
        table.add_column(heading, overflow="fold")
    for variant, cells in islice(groupby(plan.cells, key=lambda cell: cell.variant), _MOST_ROWS):
        todo: list[str] = []
        stored: list[str] = []
        for cell in cells:
            (todo if cell in missing else stored).append(cell.task)
        row = (str(variant.model), str(variant.recipe), ", ".join(todo) or "—", ", ".join(stored) or "—")
        table.add_row(*(Text(visible_line(text)) for text in row))
    console = Console(width=text_width(piped=_UNLIMITED))
    console.print(table)
    if (more := len(plan.variants) - _MOST_ROWS) > 0:
        console.print(f"… and {counted(more, 'more variant')}", highlight=False)
    console.print(
        visible_line(
            f"{counted(len(plan.cells), 'cell')}, {len(missing):,} to do; {_amount(plan.study)}"
            f"{'' if plan.stop is None else ', or fewer where a cell stops early'}; into {plan.study.output}"
        ),
        highlight=False,
        markup=False,
        soft_wrap=True,
    )


def _amount(study: Study) -> str:
    if study.evaluation.limit is None:
        return "all items"
    declared = [task for name in study.tasks if (task := find_task(name)) is not None]
    relation = " (for probes: per relation)" if any("relation" in task.groups for task in declared) else ""
    phrased = dict.fromkeys(task.name for task in declared if "phrasing" in task.groups)
    phrasing = f", and per phrasing for {joined(phrased)}" if phrased else ""
    return f"{counted(study.evaluation.limit, 'item')} per task{relation}{phrasing}"


def conclude(finished: Finished, *, profile: bool = False) -> None:
    """Print the result of a run, and on request its profile; exit with status 1 if cells failed."""
    stored = finished.cells - finished.computed
    before = f", {stored} already stored" if stored else ""
    done = f"{finished.cells - len(finished.failures)} of {counted(finished.cells, 'cell')} done{before}"
    typer.echo(visible_line(f"{done}: {finished.output}"))
    typer.echo(visible(f"show the results: forgetmeter show {shlex.quote(finished.output)}"))
    if profile:
        print_text(profile_text.profile_text(results.open_run(finished.output).profile, width=text_width()))
    for failure in finished.failures:
        text = f"failed: {failure.recipe} on {failure.task} ({failure.model}): {failure.error}"
        typer.echo(visible_line(text), err=True)
    if finished.failures:
        typer.echo("the same command retries failed cells", err=True)
        raise typer.Exit(_SOME_FAILED)

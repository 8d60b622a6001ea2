"""``forgetmeter advise``."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from forgetmeter.cli import options
from forgetmeter.cli.printing import print_text, text_width
from forgetmeter.cli.progress import StageLines, progress_on
from forgetmeter.report.formats import advice_json, advice_text
from forgetmeter.specs.budget import parse_budget
from forgetmeter.study import advising, checked_study, running


def advise_command(
    model: Annotated[
        str, typer.Argument(help="The model: org/name, ./folder, ./file.gguf, package:MODULE, or standard:FAMILY.")
    ],
    *,
    tasks: Annotated[str, typer.Option(help="Tasks to preserve, separated by commas.")],
    max_bytes: Annotated[
        str,
        typer.Option(
            "--max-bytes",
            help="Size limit: a share of the uncompressed model's size, such as 0.5, or a size, such as 200MB.",
        ),
    ],
    recipes: Annotated[
        str | None,
        typer.Option(help="Recipes or preset:NAME, separated by commas.", show_default="preset:advice"),
    ] = None,
    out: Annotated[
        str | None,
        typer.Option(
            help="Folder or URL of the runs.",
            show_default="runs/advice-MODEL-HASH, where HASH identifies the request",
            callback=options.kept,
        ),
    ] = None,
    mixed: Annotated[
        bool,
        typer.Option("--mixed", help="Also try different bits for different parts, chosen by their sensitivity."),
    ] = False,
    calibrated: Annotated[
        bool,
        typer.Option("--calibrated", help="Also try GPTQ, which reads a text; it can take minutes for each recipe."),
    ] = False,
    limit: options.Limit = None,
    dtype: options.DTypeName = None,
    device: options.DeviceName = None,
    seed: options.Seed = None,
    batch_tokens: options.BatchTokens = None,
    calibration_file: options.CalibrationFile = None,
    data: options.DataFolder = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Find the recipe that retains the most knowledge within a size limit.

    The size of every recipe is computed. Those that fit are evaluated on a
    share of the items, the better ones on more, and the best on all. Answers
    are stored; after an interruption, the same command continues.
    """
    request = advising.AdviceRequest(
        model=model,
        tasks=options.split(tasks) or (),
        budget=parse_budget(max_bytes),
        recipes=options.split_recipes(recipes),
        options=options.evaluation(locals()) | options.given("calibration.", text=calibration_file),
        mixed=mixed,
        calibrated=calibrated,
        output=out,
        data=data,
    )
    advice = advising.advise(request, listener=StageLines(sys.stderr), complete=_complete)
    if json:
        print_text(advice_json.advice_json(advice))
        return
    print_text(advice_text.advice_text(advice, width=text_width()))


def _complete(checked: checked_study.CheckedStudy) -> checked_study.Finished:
    with progress_on(sys.stderr, checked) as progress:
        return running.run_checked(checked, progress=progress)

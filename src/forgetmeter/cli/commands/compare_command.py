"""``forgetmeter compare``."""

from __future__ import annotations

from typing import Annotated

import typer

from forgetmeter.cli import options
from forgetmeter.cli.commands.run_command import Runner, run_given
from forgetmeter.config.study_file import option_name


def compare_command(
    baseline: Annotated[
        str,
        typer.Argument(help="The original: org/name, ./folder, ./file.gguf, package:MODULE, or standard:FAMILY."),
    ],
    candidates: Annotated[list[str], typer.Argument(help="Models that were made from it, named in the same ways.")],
    *,
    tasks: Annotated[str, typer.Option(help="Tasks, separated by commas.")],
    out: Annotated[str, options.Out],
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
    data: options.DataFolder = None,
    executor: options.ExecutorName = "local",
    workers: options.Workers = None,
    address: options.Address = None,
    time_limit: options.TimeLimit = None,
    dry_run: options.DryRun = False,
) -> None:
    """Compare existing checkpoints with the model they were made from.

    All models are evaluated on the same questions. The answers are stored as a
    run, for show, report, forgotten and the other commands. If candidates or
    tasks are added later, only these are evaluated. A study file can combine
    recipes with candidates.
    """
    evaluation, names = options.evaluation(locals()), options.split(tasks)
    given = options.given(models=[baseline], candidates=candidates, tasks=names, task_folders=task_folder, output=out)
    runner = Runner(executor, workers, address, time_limit)
    run_given(None, given | evaluation, data=data, runner=runner, dry_run=dry_run, name=_argument_name)


def _argument_name(key: str) -> str:
    return {"models": "baseline", "candidates": "candidate"}.get(key) or option_name(key)

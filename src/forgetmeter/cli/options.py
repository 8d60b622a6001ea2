"""Options that several commands share, and how their values are read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Annotated

import typer

from forgetmeter.config.study import Evaluation
from forgetmeter.errors import UserError
from forgetmeter.specs.scope import split_at

Limit = Annotated[
    int | None,
    typer.Option(
        help="Only the first N items per task (for facts, per relation and template; for other probes, per relation; "
        "for files of questions, per group)."
    ),
]
DTypeName = Annotated[str | None, typer.Option(help="float32, bfloat16 or float16.", show_default="float32")]
DeviceName = Annotated[str | None, typer.Option(help="auto, cpu, cuda or mps.", show_default="auto")]
Seed = Annotated[int | None, typer.Option(help="Random seed.", show_default="0")]
BatchTokens = Annotated[int | None, typer.Option(help="Maximum number of tokens per batch.", show_default="auto")]
NoiseFloor = Annotated[
    bool | None,
    typer.Option(
        "--noise-floor",
        help="Score the baseline again, in differently shaped batches or, with a 16-bit dtype, in float32, to see how "
        "much results vary without compression.",
    ),
]
Precision = Annotated[
    float | None,
    typer.Option(
        help=(
            "Stop evaluating a variant on a task once its drop in accuracy is known to within this value (0.05: ±5 "
            "points)."
        ),
        show_default="all items",
    ),
]
Margin = Annotated[
    str | None,
    typer.Option(
        help=(
            "Stop evaluating a variant on a task once gate with this margin, such as 1pt, would decide (not tasks of "
            "five or more relations)."
        ),
        show_default="all items",
    ),
]
TaskFolders = Annotated[
    list[str] | None,
    typer.Option(help="Folder with your own tasks, in lm-evaluation-harness's YAML format; can be repeated."),
]
NumFewshot = Annotated[
    int | None, typer.Option(help="Number of few-shot examples in the prompts of lm-evaluation-harness's tasks.")
]
SystemInstruction = Annotated[str | None, typer.Option(help="System prompt for lm-evaluation-harness's tasks.")]
UseChatTemplate = Annotated[
    bool | None,
    typer.Option(
        "--chat-template", help="Render the prompts of lm-evaluation-harness's tasks with the model's chat template."
    ),
]
ShowProfile = Annotated[
    bool | None,
    typer.Option(
        "--profile", help="Time a large matrix multiplication for comparison, and print how long each stage took."
    ),
]
ExecutorName = Annotated[
    str, typer.Option("--executor", help="Where the variants are evaluated: local, ray, or a plug-in's name.")
]
Workers = Annotated[
    int | None,
    typer.Option(
        help="Number of evaluation processes, each with its own copy of the model.",
        show_default="1; with ray, as many as fit",
    ),
]
Address = Annotated[
    str | None,
    typer.Option(
        help="The Ray cluster: HOST:PORT, ray://HOST:PORT, or auto for a cluster already running on this machine.",
        show_default="start one",
    ),
]
TimeLimit = Annotated[
    float | None,
    typer.Option(
        help="Time limit in seconds for each variant on each task, including loading and compressing.",
        show_default="none",
    ),
]
CalibrationFile = Annotated[
    str | None,
    typer.Option(
        "--calibration",
        help="File of calibration text, for methods such as wanda and gptq.",
        show_default="text that ships with Python; for standards, the built-in facts",
    ),
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Print the plan only.")]
DataFolder = Annotated[
    Path | None,
    typer.Option(help="Folder with LAMA/, BEAR/ and PopQA/.", show_default="FORGETMETER_DATA, else the user's cache"),
]


def kept(location: str | None) -> str | None:
    """Return the location of a run, as the callback of an option.

    Raises:
        UserError: The run would end with the command.
    """
    if location is not None and location.startswith("memory:"):
        raise UserError(f"a run in '{location}' would end with the command; choose a folder or another URL")
    return location


Out = typer.Option(help="Folder or URL of the run.", callback=kept)
"""The option of every command that makes a run."""


def given(section: str = "", **options: object) -> dict[str, object]:
    """Return the options that were given, by their dotted key in a study, such as ``evaluation.limit``."""
    return {f"{section}{name}": value for name, value in options.items() if value is not None}


def evaluation(parameters: Mapping[str, object]) -> dict[str, object]:
    """Return the settings of a study's evaluation among a command's parameters, if given, by their dotted key.

    Args:
        parameters: The command's ``locals()``; its parameters have the names of the settings.
    """
    names = {field.name for field in fields(Evaluation)} & parameters.keys()
    return given("evaluation.", **{name: parameters[name] for name in names})


def split_recipes(text: str | None) -> list[str] | None:
    """Split an option's value, if given, at commas outside the parentheses of ``regex(PATTERN)``."""
    return None if text is None else [part.strip() for part in split_at(text, ",")]


def split(text: str | None) -> list[str] | None:
    """Split an option's value, if given, at commas."""
    return None if text is None else [part.strip() for part in text.split(",")]

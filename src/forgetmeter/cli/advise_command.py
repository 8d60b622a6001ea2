"""``forgetmeter advise``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from forgetmeter.cli.commands import lazy
from forgetmeter.cli.printing import print_text, text_width
from forgetmeter.cli.progress import StageLines, progress_on
from forgetmeter.cli.run_command import split, split_recipes
from forgetmeter.specs.budget import parse_budget

if TYPE_CHECKING:
    from forgetmeter.report.formats.advice_json import advice_json
    from forgetmeter.report.formats.advice_text import advice_text
    from forgetmeter.study.advising import AdviceRequest, advise
    from forgetmeter.study.checked_study import CheckedStudy, Finished
    from forgetmeter.study.running import run_checked
else:
    advice_json = lazy("forgetmeter.report.formats.advice_json:advice_json")
    advice_text = lazy("forgetmeter.report.formats.advice_text:advice_text")
    AdviceRequest = lazy("forgetmeter.study.advising:AdviceRequest")
    advise = lazy("forgetmeter.study.advising:advise")
    run_checked = lazy("forgetmeter.study.running:run_checked")


def advise_command(
    model: Annotated[
        str, typer.Argument(help="The model: org/name, ./folder, ./file.gguf, package:MODULE, standard:NAME.")
    ],
    *,
    tasks: Annotated[str, typer.Option(help="Tasks to preserve, separated by commas.")],
    max_bytes: Annotated[
        str, typer.Option("--max-bytes", help="Size limit: a share such as 0.5, or a size such as 200MB.")
    ],
    recipes: Annotated[
        str | None,
        typer.Option(help="Candidates or preset:NAME, separated by commas.", show_default="preset:advice"),
    ] = None,
    out: Annotated[
        str | None,
        typer.Option(help="Folder or URL of the runs.", show_default="under runs/, named after the request"),
    ] = None,
    limit: Annotated[
        int | None,
        typer.Option(help="Only the first N items per task (for probes: per relation)."),
    ] = None,
    dtype: Annotated[str | None, typer.Option(help="float32, bfloat16 or float16.")] = None,
    device: Annotated[str | None, typer.Option(help="auto, cpu, cuda or mps.")] = None,
    seed: Annotated[int | None, typer.Option(help="Random seed.")] = None,
    batch_tokens: Annotated[int | None, typer.Option(help="Maximum number of tokens per batch.")] = None,
    data: Annotated[
        Path | None,
        typer.Option(
            help="Folder that contains LAMA/ and BEAR/.", show_default="FORGETMETER_DATA, else the user's cache"
        ),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Find the recipe that retains the most knowledge within a size limit.

    The size of every candidate is computed. Those that fit are evaluated on a
    few items, the better ones on more, and the best on all. Answers are stored;
    after an interruption, the same command continues.
    """
    options = {
        "evaluation.limit": limit,
        "evaluation.dtype": dtype,
        "evaluation.device": device,
        "evaluation.seed": seed,
        "evaluation.batch_tokens": batch_tokens,
    }
    request = AdviceRequest(
        model=model,
        tasks=tuple(split(tasks)),
        budget=parse_budget(max_bytes),
        recipes=None if recipes is None else tuple(split_recipes(recipes)),
        options={key: value for key, value in options.items() if value is not None},
        output=out,
        data=data,
    )
    advice = advise(request, listener=StageLines(sys.stderr), complete=_complete)
    if json:
        print_text(advice_json(advice))
        return
    print_text(advice_text(advice, width=text_width()))


def _complete(checked: CheckedStudy) -> Finished:
    with progress_on(sys.stderr, checked) as progress:
        return run_checked(checked, progress=progress)

"""``forgetmeter verify``."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from forgetmeter.basics.json_text import to_json
from forgetmeter.basics.plural import counted
from forgetmeter.basics.visible_text import visible_line
from forgetmeter.cli import options
from forgetmeter.cli.printing import print_text
from forgetmeter.cli.progress import StageLines
from forgetmeter.study import verifying

_DOES_NOT_HOLD, _NOT_ASKED = 1, 2


def verify_command(
    run: Annotated[str, typer.Argument(help="Folder or URL of the run.")],
    *,
    sample: Annotated[int, typer.Option(min=0, help="Ask N items of each task again, and compare the answers.")] = 0,
    seed: Annotated[int, typer.Option(min=0, help="Random seed of the sample.")] = 0,
    task_folder: options.TaskFolders = None,
    data: options.DataFolder = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Verify a run: its files, its numbers, its models, and a sample of its answers.

    Compares every file with the digest that was written with it, numbers with
    the answers that they follow from, and models with the hashes of their
    content. Exits with 1 if anything does not hold; otherwise with 2 if a sample
    was requested and not every variant could be asked.
    """
    found = verifying.verify(
        run, sample=sample, seed=seed, task_folders=task_folder or (), data=data, progress=StageLines(sys.stderr)
    )
    if json:
        lists = {
            "problems": found.problems,
            "holds": found.holds,
            "unchecked": found.unchecked,
            "notes": found.notes,
        }
        print_text(to_json({"schema_version": 1, "run": run, **lists, "is_sampled": found.is_sampled}).decode())
    else:
        for name, sentences in _sentences(found):
            for sentence in sentences:
                typer.echo(visible_line(f"{name}: {sentence}"))
        typer.echo(visible_line(f"{run}: {_conclusion(found)}"))
    raise typer.Exit(_DOES_NOT_HOLD if found.problems else 0 if found.is_sampled else _NOT_ASKED)


def _sentences(found: verifying.Verification) -> tuple[tuple[str, tuple[str, ...]], ...]:
    return (
        ("holds", found.holds),
        ("not checked", found.unchecked),
        ("WRONG", found.problems),
        ("note", found.notes),
    )


def _conclusion(found: verifying.Verification) -> str:
    if found.problems:
        return counted(len(found.problems), "problem")
    return "verified, except for what was not checked" if found.unchecked else "verified"

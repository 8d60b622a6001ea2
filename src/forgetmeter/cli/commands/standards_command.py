"""``forgetmeter standards``."""

from __future__ import annotations

import os
import shlex
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

from forgetmeter.errors import UserError
from forgetmeter.specs.model_reference import STANDARDS
from forgetmeter.specs.suggestion import unknown

if TYPE_CHECKING:
    from forgetmeter.models.family import Family
    from forgetmeter.standards.trained_standard import TrainedStandard
    from forgetmeter.standards.training import Epoch

_LINES = 6

standards_app = typer.Typer(
    help="Train the standards again: small reference models of known facts, which ship with the package.",
    no_args_is_help=True,
    add_completion=False,
)


@standards_app.callback()
def _standards() -> None:
    """Train the standards again: small reference models of known facts, which ship with the package."""


@standards_app.command("train")
def train_command(
    *,
    out: Annotated[Path, typer.Option(help="Output folder, with one subfolder per standard.")] = Path("standards"),
    only: Annotated[str | None, typer.Option(help=f"Only these, separated by commas: {', '.join(STANDARDS)}.")] = None,
    seed: Annotated[int, typer.Option(help="Seed of the initial weights and the training order.", min=0)] = 0,
    workers: Annotated[
        int | None,
        typer.Option(help="Number of standards to train in parallel.", show_default="number of cores", min=1),
    ] = None,
    keep_epochs: Annotated[
        str | None,
        typer.Option(help="Also keep a copy after these epochs, separated by commas: OUT/STANDARD-epoch-N."),
    ] = None,
) -> None:
    """Train the standards from scratch on the built-in facts: about 10 minutes on 2 cores."""
    families, keep = _families(only), _epochs(keep_epochs)
    # Importing torch and transformers takes seconds; help and wrong options need not wait.
    from forgetmeter.standards.parallel_training import make_standards

    started = time.monotonic()
    workers = workers or os.cpu_count() or 1
    made = make_standards(families, out, seed=seed, workers=workers, after_epoch=print_epoch, keep=keep)
    Console().print(_table(made, time.monotonic() - started))
    sys.stdout.write(
        "known: share of facts known in the phrasings taught; reworded: share known in a phrasing not taught\n"
    )
    folder = shlex.quote(str((out / made[0].family).resolve()))
    sys.stdout.write(f"Load them by folder, for example --model {folder}\n")


def print_epoch(family: Family, epoch: Epoch) -> None:
    """Print the training progress every few epochs."""
    if epoch.number % max(1, epoch.of // _LINES) == 0 or epoch.number == epoch.of:
        sys.stderr.write(f"{family}: epoch {epoch.number} of {epoch.of}, loss {epoch.loss:.3f}\n")
        sys.stderr.flush()


def _families(only: str | None) -> tuple[Family, ...]:
    if only is None:
        return STANDARDS
    names = [name.strip().removeprefix("standard:") for name in only.split(",")]
    for name in names:
        if name not in STANDARDS:
            raise UserError(unknown("standard", name, STANDARDS))
    return tuple(family for family in STANDARDS if family in names)


def _epochs(text: str | None) -> tuple[int, ...]:
    parts = [] if text is None else [part.strip() for part in text.split(",")]
    wrong = [part for part in parts if not part.isdecimal()]
    if wrong:
        raise UserError(f"--keep-epochs: '{wrong[0]}' is not a number of epochs; write numbers such as 5,20,60")
    return tuple(map(int, parts))


def _table(made: list[TrainedStandard], seconds: float) -> Table:
    table = Table(title=f"Trained in {seconds / 60:.1f} minutes", title_justify="left")
    table.add_column("standard", no_wrap=True)
    for name in ("facts", "known", "reworded", "weights", "MB", "minutes"):
        table.add_column(name, justify="right")
    for each in made:
        table.add_row(
            each.family,
            f"{each.facts:,}",
            f"{each.known:.1%}",
            f"{each.held_out:.1%}",
            f"{each.parameters:,}",
            f"{each.bytes / 1e6:.2f}",
            f"{each.seconds / 60:.1f}",
        )
    return table

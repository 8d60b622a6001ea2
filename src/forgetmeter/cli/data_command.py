"""``forgetmeter data``."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

from forgetmeter.errors import UserError
from forgetmeter.probes.data.fetch import Listener, fetch
from forgetmeter.probes.registry import archives
from forgetmeter.specs.suggestion import unknown

data_app = typer.Typer(help="Fetch the probes' data.", no_args_is_help=True, add_completion=False)


@data_app.callback()
def _data() -> None:
    """Fetch the probes' data."""


@data_app.command("fetch")
def fetch_command(
    probes: Annotated[list[str], typer.Argument(help="lama, bear, or both.")],
    *,
    data: Annotated[
        Path | None,
        typer.Option(help="Folder that gets LAMA/ or BEAR/ [default: FORGETMETER_DATA, else in the user's cache]."),
    ] = None,
    source: Annotated[
        str | None,
        typer.Option(
            "--from", help="Another address, or a zip file on this machine, of one probe.", show_default="official"
        ),
    ] = None,
) -> None:
    """Fetch LAMA or BEAR from where its authors publish it, unless it is there already.

    What is fetched is checked before it is put in its place; of an interrupted or damaged one nothing is left.
    """
    wanted, published = list(dict.fromkeys(probes)), archives()
    for name in wanted:
        if name not in published:
            raise UserError(unknown("probe", name, published))
    if source is not None and len(wanted) > 1:
        raise UserError("--from is of one probe; fetch them one by one")
    for name in wanted:
        with _progress(name) as listen:
            fetched = fetch(name, data=data, source=source, listen=listen)
        tasks = ", ".join(f"{task} ({_relations(fetched.relations.get(task))})" for task in published[name].tasks)
        where = "there already" if fetched.address is None else f"fetched from {fetched.address}"
        typer.echo(f"{name}: {where}: {fetched.folder}\n  tasks: {tasks}\n  terms: {published[name].terms}")


def _relations(number: int | None) -> str:
    if number is None:
        return "not in it"
    return "1 relation" if number == 1 else f"{number} relations"


class _Announced:
    """Says once that something is being fetched, and how much."""

    def __init__(self, name: str) -> None:
        self._name: str | None = name

    def __call__(self, _done: int, size: int | None) -> None:
        if self._name is not None:
            much = "" if size is None else f", {size / 1e6:.1f} MB"
            sys.stderr.write(f"fetching {self._name}{much}\n")
            self._name = None


@contextmanager
def _progress(name: str) -> Iterator[Listener]:
    console = Console(file=sys.stderr)
    if not console.is_terminal:
        yield _Announced(name)
        return
    columns = (TextColumn("{task.description}"), BarColumn(bar_width=24), DownloadColumn(), TransferSpeedColumn())
    with Progress(*columns, console=console, transient=True) as shown:
        task = shown.add_task(f"fetching {name}", total=None)
        yield lambda done, size: shown.update(task, completed=done, total=size)

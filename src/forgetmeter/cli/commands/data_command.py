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

from forgetmeter.basics.plural import counted
from forgetmeter.errors import UserError
from forgetmeter.probes.data.fetch import Listener, fetch
from forgetmeter.probes.registry import archives
from forgetmeter.specs.suggestion import unknown

data_app = typer.Typer(help="Download the probes' data.", no_args_is_help=True, add_completion=False)


@data_app.callback()
def _data() -> None:
    """Download the probes' data."""


@data_app.command("fetch")
def fetch_command(
    probes: Annotated[list[str], typer.Argument(help="One or more of lama, bear and popqa.")],
    *,
    data: Annotated[
        Path | None,
        typer.Option(help="Folder for LAMA/, BEAR/ or PopQA/.", show_default="FORGETMETER_DATA, else the user's cache"),
    ] = None,
    source: Annotated[
        str | None,
        typer.Option("--from", help="Another URL, or a local file, for one probe.", show_default="official"),
    ] = None,
) -> None:
    """Download LAMA, BEAR or PopQA from the official source, unless it is already there.

    The data is checked before it is put in place; an interrupted or damaged download leaves nothing behind.
    """
    wanted, published = list(dict.fromkeys(probes)), archives()
    for name in wanted:
        if name not in published:
            raise UserError(unknown("probe", name, published))
    if source is not None and len(wanted) > 1:
        raise UserError("--from applies to one probe; fetch them one at a time")
    for name in wanted:
        with _progress(name) as listen:
            fetched = fetch(name, data=data, source=source, listen=listen)
        tasks = ", ".join(f"{task} ({_relations(fetched.relations.get(task))})" for task in published[name].tasks)
        where = "already there" if fetched.address is None else f"fetched from {fetched.address}"
        typer.echo(f"{name}: {where}: {fetched.folder}\n  tasks: {tasks}\n  terms: {published[name].terms}")


def _relations(number: int | None) -> str:
    if number is None:
        return "not included"
    return counted(number, "relation")


class _Announced:
    """Prints one line when the download starts, with its size."""

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

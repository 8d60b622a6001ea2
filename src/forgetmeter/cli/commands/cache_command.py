"""``forgetmeter cache``."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from forgetmeter.basics.cache_folder import CacheEntry, cache_folder, entries, remove
from forgetmeter.basics.visible_text import visible_line
from forgetmeter.cli.printing import text_width
from forgetmeter.errors import UserError, refuse
from forgetmeter.specs.suggestion import unknown

_PIPED_WIDTH = 200

cache_app = typer.Typer(add_completion=False)


@cache_app.callback(invoke_without_command=True)
def list_command(context: typer.Context) -> None:
    """List the contents of the cache folder, or clear it.

    It holds converted GGUF files, unpacked checkpoints and the probes' data
    that `data fetch` unpacks. All of it can be recreated. Set FORGETMETER_CACHE
    to use another folder.
    """
    if context.invoked_subcommand is not None:
        return
    found = entries()
    if not found:
        typer.echo(f"{cache_folder()} contains nothing cached by forgetmeter")
        return
    table = Table(box=None, header_style="bold", pad_edge=False)
    for heading in ("name", "what", "from", "size", "last used"):
        # Names can be copied whole; only sources are folded.
        is_source = heading == "from"
        table.add_column(
            heading, no_wrap=not is_source, overflow="fold", justify="right" if heading == "size" else "left"
        )
    for entry in sorted(found, key=lambda each: -each.bytes):
        day = datetime.fromtimestamp(entry.used, tz=UTC).astimezone().strftime("%Y-%m-%d")
        table.add_row(entry.name, entry.what, Text(visible_line(entry.source) or "—"), _size(entry.bytes), day)
    Console(highlight=False, width=text_width(piped=_PIPED_WIDTH)).print(table)
    typer.echo(f"{_size(sum(entry.bytes for entry in found))} in {cache_folder()}")
    typer.echo("remove with: forgetmeter cache clear NAME, or --all")


@cache_app.command("clear")
def clear_command(
    names: Annotated[
        list[str] | None, typer.Argument(help="Names, as `forgetmeter cache` lists them.", show_default=False)
    ] = None,
    *,
    everything: Annotated[bool, typer.Option("--all", help="Clear everything.")] = False,
) -> None:
    """Remove entries of the cache; other files in its folder and the targets of links are kept."""
    found = {entry.name: entry for entry in entries()}
    if names and everything:
        raise UserError("give names or --all, not both")
    if not names and not everything:
        raise UserError("name what to remove, or give --all; forgetmeter cache lists the names")
    refuse(unknown("cache entry", name, found) for name in names or () if name not in found)
    chosen = [found[name] for name in dict.fromkeys(names or found)]
    problems, freed = [], 0
    for entry in chosen:
        if problem := _problem(entry):
            problems.append(problem)
            continue
        freed += entry.bytes
        typer.echo(f"removed {entry.name} ({entry.what}, {_size(entry.bytes)})")
    typer.echo(f"freed {_size(freed)} in {cache_folder()}")
    refuse(problems)


def _problem(entry: CacheEntry) -> str | None:
    """Remove an entry; return why it was not removed."""
    try:
        is_removed = remove(entry)
    except OSError as error:
        return f"{entry.name} cannot be removed ({error.strerror or error})"
    return None if is_removed else f"{entry.name} is in use by another process; clear it after that process ends"


def _size(count: int) -> str:
    for unit, size in (("GB", 1e9), ("MB", 1e6)):
        if count >= size:
            return f"{count / size:,.1f} {unit}"
    return f"{count / 1e3:.1f} kB"

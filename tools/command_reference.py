"""The command-line reference as Markdown, generated from the program itself."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from typing import Any

import typer

from forgetmeter.cli.main import app

_HEAD = """\
# Command line

Generated from the program's own `--help`.

Exit codes:

- 0: done
- 1: finished, but some cells failed
- 2: wrong request; a one-line error is printed before any work starts
- 130: interrupted; everything finished is stored
"""


def command_reference() -> str:
    """Return a section for each command, with its arguments and options."""
    root = typer.main.get_command(app)
    return "\n".join([_HEAD, *_sections(root, "forgetmeter")])


def _sections(command: Any, name: str) -> Iterator[str]:  # noqa: ANN401 - click's, or typer's own copy of it
    context = command.make_context(name, [], resilient_parsing=True)
    # The command itself, which is imported by now.
    command = context.command
    if hasattr(command, "list_commands"):
        for child in command.list_commands(context):
            yield from _sections(command.get_command(context, child), f"{name} {child}")
        return
    usage = " ".join(command.collect_usage_pieces(context)).replace("{", "").replace("}", "").upper()
    yield f"## `{name}`\n\n{inspect.cleandoc(command.help or '')}\n\n```text\n{name} {usage}\n```\n"
    records = [parameter.get_help_record(context) for parameter in command.params]
    rows = [_row(*record) for record in records if record and not record[0].startswith("--help")]
    if rows:
        yield "\n".join(["| argument or option | meaning |", "|:---|:---|", *rows]) + "\n"


def _row(names: str, meaning: str) -> str:
    escaped = " ".join(meaning.split()).replace("|", "\\|").replace("<", "&lt;")
    shown = names if names.startswith("-") else names.split()[0].upper()
    return f"| `{shown}` | {escaped} |"


if __name__ == "__main__":
    print(command_reference())

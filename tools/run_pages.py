"""Runs the commands and Python code of the tutorial and the guides, each page in order, in an empty folder.

python tools/run_pages.py --write [PAGE]: replaces the outputs on the pages by the current ones.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import make_lm_eval_logs

COMMANDS = Path(sys.executable).parent
"""The folder with the command."""
_DOCS = Path(__file__).parents[1] / "docs"
PAGES = (_DOCS / "tutorial.md", *sorted((_DOCS / "guides").glob("*.md")))
PREPARATIONS: dict[Path, Callable[[], None]] = {_DOCS / "guides" / "lm-eval-logs.md": make_lm_eval_logs.main}
"""What makes the files that a page starts from."""

# A `console` block holds commands after `$ `, each with its output; a `python` block may be followed by its output; a
# block with a title is a file.
_CONSOLE = re.compile(r"^```console\n(?P<content>.*?)^```\n", re.MULTILINE | re.DOTALL)
_PYTHON = re.compile(r"^```python\n(?P<source>.*?)^```\n(?:\n```text\n(?P<shown>.*?)^```\n)?", re.MULTILINE | re.DOTALL)
_FILE = re.compile(r'^```\w+ title="(?P<name>[\w.-]+)"\n(?P<content>.*?)^```\n', re.MULTILINE | re.DOTALL)
_COMMAND = re.compile(r"^\$ (?P<command>(?:.*\\\n)*.*)\n(?P<shown>(?:(?!\$ ).*\n)*)", re.MULTILINE)


def with_outputs(page: str) -> str:
    """Return the page with the current output of its blocks, which run in the current folder.

    Raises:
        subprocess.CalledProcessError: A command failed.
    """
    names: dict[str, Any] = {}

    def console(block: re.Match[str]) -> str:
        commands = [found["command"] for found in _COMMAND.finditer(block["content"])]
        return "```console\n" + "".join(f"$ {command}\n{printed_by(command)}" for command in commands) + "```\n"

    def python(block: re.Match[str]) -> str:
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            exec(compile(block["source"], "the page", "exec"), names)
        output = f"\n```text\n{_tidy(printed.getvalue())}```\n" if printed.getvalue() else ""
        return f"```python\n{block['source']}```\n{output}"

    def file(block: re.Match[str]) -> str:
        Path(block["name"]).write_text(block["content"], encoding="utf-8")
        return block[0]

    return "".join(_each_block(page, {_CONSOLE: console, _PYTHON: python, _FILE: file}))


def printed_by(command: str) -> str:
    """Run a command as a reader would in `/home/you`, and return what it printed."""
    environment = os.environ | {
        "PATH": f"{COMMANDS}{os.pathsep}{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "COLUMNS": "120",
    }
    done = subprocess.run(["bash", "-c", command], env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise subprocess.CalledProcessError(done.returncode, command, done.stdout, done.stderr)
    return _tidy(done.stdout.replace(str(Path.cwd()), "/home/you"))


def _each_block(page: str, run: Mapping[re.Pattern[str], Callable[[re.Match[str]], str]]) -> Iterator[str]:
    place = 0
    while found := [match for pattern in run if (match := pattern.search(page, place))]:
        block = min(found, key=lambda match: match.start())
        yield page[place : block.start()]
        yield run[block.re](block)
        place = block.end()
    yield page[place:]


def _tidy(output: str) -> str:
    return "".join(f"{line.rstrip()}\n" for line in output.rstrip().split("\n")) if output.strip() else ""


def main() -> None:
    """Run the pages, and write their outputs on request."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("pages", nargs="*", type=Path, default=PAGES, help="the pages to run; by default all")
    parser.add_argument("--write", action="store_true", help="replace the outputs in the pages by the current ones")
    given = parser.parse_args()
    for path in given.pages:
        page = path.resolve()
        with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
            PREPARATIONS.get(page, lambda: None)()
            current = with_outputs(page.read_text())
        if given.write:
            page.write_text(current)
        else:
            print(current)


if __name__ == "__main__":
    main()

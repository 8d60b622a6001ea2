"""The commands, imported on first use."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from importlib.util import LazyLoader
from types import ModuleType
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup

from forgetmeter.errors import UserError

# The first paragraph of each command's help, so that `forgetmeter --help` imports no command.
SUMMARIES = {
    "demo": "Show what three small models forget when they are compressed; takes minutes, works offline.",
    "run": "Run a study, or resume it.",
    "compare": "Compare existing checkpoints with the model they were made from.",
    "import": "Make a run from existing answers: lm-evaluation-harness's logs, or a table.",
    "show": "Show what compression cost: accuracy, drop, retained, flips; sparsity and bytes.",
    "report": (
        "Write report.html (one file, works offline), its charts as SVG and PNG, and its tables as LaTeX and Markdown."
    ),
    "findings": "Test claims of Namburi et al. (2023) and of related work on a run.",
    "forgotten": "List what a recipe made the model forget, item by item, with old and new answers.",
    "gate": "Decide whether compressed models may ship: pass, fail, or cannot tell.",
    "verify": "Verify a run: its files, its numbers, its models, and a sample of its answers.",
    "compress": "Compress a checkpoint, tensor by tensor, into a folder that other libraries can load.",
    "advise": "Find the recipe that retains the most knowledge within a size limit.",
    "sensitivity": "Measure what a model loses when each of its parts is compressed alone.",
    "list": "List methods, scopes, tasks, relations, presets and ways to name a model.",
    "standards": "Train the standards again: small reference models of known facts, which ship with the package.",
    "data": "Download the probes' data.",
    "cache": "List the contents of the cache folder, or clear it.",
}


class _OnFirstUse(MetaPathFinder):
    """Imports a module of this package when one of its attributes is first used."""

    def find_spec(self, name: str, path: Sequence[str] | None, target: ModuleType | None = None) -> ModuleSpec | None:
        spec = PathFinder.find_spec(name, path, target) if name.startswith("forgetmeter.") else None
        if spec is not None and spec.loader is not None and not spec.submodule_search_locations:
            spec.loader = LazyLoader(spec.loader)
        return spec


@contextmanager
def imported_on_first_use() -> Iterator[None]:
    """Import modules of this package within a ``with`` block when they are first used, here or later.

    This way, the help of a command does not wait for the libraries that the command needs. ``from package import
    module`` is deferred; ``from module import name`` is not, because it uses the module.
    """
    finder = _OnFirstUse()
    sys.meta_path.insert(0, finder)
    try:
        yield
    finally:
        sys.meta_path.remove(finder)


class LazyCommand(TyperCommand):
    """A command whose module, ``NAME_command``, is imported when it is called or its help is shown.

    The module defines a function ``NAME_command`` or, for a command with subcommands, a typer application ``NAME_app``.
    """

    def loaded(self) -> Any:  # noqa: ANN401 - newer typer releases bundle their own click
        """Import the command; the modules that it imports are loaded on first use."""
        with imported_on_first_use():
            module = import_module(f"forgetmeter.cli.commands.{self.name}_command")
            app = getattr(module, f"{self.name}_app", None)
        if app is None:
            app = typer.Typer(add_completion=False)
            app.command(self.name)(getattr(module, f"{self.name}_command"))
        return typer.main.get_command(app)

    def make_context(self, *arguments: Any, **options: Any) -> Any:  # noqa: ANN401
        """Parse the arguments with the imported command."""
        command = self.loaded()
        _refuse_repeated(command, arguments[1])
        return command.make_context(*arguments, **options)


def _refuse_repeated(command: Any, arguments: Sequence[str]) -> None:  # noqa: ANN401
    """Refuse an option that is given twice although it has one value; the parser would take the last without a word."""
    options = {name: each for each in command.params for name in each.opts if name.startswith("-")}
    given, rest = set(), iter(arguments)
    for argument in rest:
        if argument == "--":
            return
        name, has_value, _ = argument.partition("=")
        option = options.get(name)
        if option is None:
            if argument in getattr(command, "commands", {}):
                _refuse_repeated(command.commands[argument], list(rest))
            continue
        if option.is_flag:
            continue
        if not has_value:
            next(rest, None)
        if option in given and not option.multiple:
            raise UserError(f"{name} is given twice, and only the last would count; give it once")
        given.add(option)


class LazyGroup(TyperGroup):
    """The program's command group."""

    def __init__(self, **settings: Any) -> None:  # noqa: ANN401
        super().__init__(**settings)
        self.commands = {name: LazyCommand(name, help=summary) for name, summary in SUMMARIES.items()}

"""The commands, imported on first use."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup

# The first paragraph of each command's help, so that `forgetmeter --help` imports no command.
SUMMARIES = {
    "demo": "Show what compressed models forget: the paper's grid on three small models, in minutes, offline.",
    "run": "Run a study, or resume it.",
    "import": "Make a run of answers that exist already: lm-evaluation-harness's logs, or a table.",
    "show": "Show what compression cost: accuracy, drop, retained, flips; sparsity and bytes.",
    "report": (
        "Write report.html (one file, works offline), its charts as SVG and PNG, and its tables as LaTeX and Markdown."
    ),
    "findings": "Test the claims of the paper and of related work on this run.",
    "forgotten": "List what a recipe made the model forget, item by item, with old and new answers.",
    "compress": "Compress a checkpoint, tensor by tensor, into a folder that other libraries can load.",
    "advise": "Find the recipe that retains the most knowledge within a size limit.",
    "list": "List methods, scopes, tasks, relations, presets and ways to name a model.",
    "standards": "Train the small reference models whose knowledge is known.",
    "data": "Download the probes' data.",
    "cache": "List the contents of the cache folder, or clear it.",
}


def lazy(target: str) -> Any:  # noqa: ANN401 - the type is that of the function
    """Return a stand-in for the function ``package.module:NAME``, which is imported when it is first called.

    This way, the help of a command does not wait for the libraries that the command needs.
    """
    module, _, name = target.partition(":")

    def call(*arguments: Any, **options: Any) -> Any:  # noqa: ANN401
        return getattr(import_module(module), name)(*arguments, **options)

    return call


class LazyCommand(TyperCommand):
    """A command whose module, ``NAME_command``, is imported when it is called or its help is shown.

    The module defines a function ``NAME_command`` or, for a command with subcommands, a typer application ``NAME_app``.
    """

    def loaded(self) -> Any:  # noqa: ANN401 - newer typer releases bundle their own click
        """Import the command."""
        module = import_module(f"forgetmeter.cli.{self.name}_command")
        app = getattr(module, f"{self.name}_app", None)
        if app is None:
            app = typer.Typer(add_completion=False)
            app.command(self.name)(getattr(module, f"{self.name}_command"))
        return typer.main.get_command(app)

    def make_context(self, *arguments: Any, **options: Any) -> Any:  # noqa: ANN401
        """Parse the arguments with the imported command."""
        return self.loaded().make_context(*arguments, **options)


class LazyGroup(TyperGroup):
    """The whole program."""

    def __init__(self, **settings: Any) -> None:  # noqa: ANN401
        super().__init__(**settings)
        self.commands = {name: LazyCommand(name, help=summary) for name, summary in SUMMARIES.items()}

"""The commands by name, each in a module that is imported when the command is called or its help is asked."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup

# With what `forgetmeter --help` says of each, the first paragraph of its own help: none is imported for that.
_COMMANDS = {
    "demo": (
        "demo_command:demo_command",
        "Show what compression forgets: three small models, the paper's grid, built-in facts; no network, minutes.",
    ),
    "run": ("run_command:run_command", "Run a study, or what is missing of it."),
    "show": (
        "show_command:show_command",
        "Show what compression cost: accuracy, drop, retained, flips; sparsity and bytes.",
    ),
    "report": (
        "report_command:report_command",
        "Write report.html (one file, works offline), its charts as SVG and PNG, and its tables as LaTeX and Markdown.",
    ),
    "findings": (
        "findings_command:findings_command",
        "Test the claims of the paper and of related work on this run.",
    ),
    "forgotten": (
        "forgotten_command:forgotten_command",
        "List what a recipe made the model forget, item by item, with its old and its new answer.",
    ),
    "compress": (
        "compress_command:compress_command",
        "Compress a checkpoint into a folder that loads elsewhere, a tensor at a time.",
    ),
    "advise": (
        "advise_command:advise_command",
        "Find the recipe that keeps most of what a model knows within a size.",
    ),
    "list": ("listing:list_app", "List what there is."),
    "standards": (
        "standards_command:standards_app",
        "Make the small reference models whose knowledge is known.",
    ),
    "data": ("data_command:data_app", "Fetch the probes' data."),
}


class LazyCommand(TyperCommand):
    """A command whose module is imported when it is called or its help is asked.

    Args:
        name: The command's name.
        place: Its function or its group, as ``module:attribute`` of this package.
        summary: What the help of the whole program says of it.
    """

    def __init__(self, name: str, place: str, summary: str) -> None:
        super().__init__(name, help=summary)
        self._place = place

    def loaded(self) -> Any:  # noqa: ANN401 - newer typer releases carry a click of their own
        """Import the command."""
        module, _, attribute = self._place.partition(":")
        found = getattr(import_module(f"forgetmeter.cli.{module}"), attribute)
        if not isinstance(found, typer.Typer):
            function, found = found, typer.Typer(add_completion=False)
            found.command(self.name)(function)
        return typer.main.get_command(found)

    def make_context(self, *arguments: Any, **options: Any) -> Any:  # noqa: ANN401
        """Read the arguments as the command itself does."""
        return self.loaded().make_context(*arguments, **options)


class LazyGroup(TyperGroup):
    """The whole program."""

    def __init__(self, **settings: Any) -> None:  # noqa: ANN401
        super().__init__(**settings)
        self.commands = {name: LazyCommand(name, *entry) for name, entry in _COMMANDS.items()}

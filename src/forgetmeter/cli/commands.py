"""The commands by name, each in a module that is imported when the command is called or its help is asked."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup

# What `forgetmeter --help` says of each, the first paragraph of its own help: none is imported for that.
SUMMARIES = {
    "demo": "Show what compression forgets: three small models, the paper's grid, built-in facts; no network, minutes.",
    "run": "Run a study, or what is missing of it.",
    "show": "Show what compression cost: accuracy, drop, retained, flips; sparsity and bytes.",
    "report": (
        "Write report.html (one file, works offline), its charts as SVG and PNG, and its tables as LaTeX and Markdown."
    ),
    "findings": "Test the claims of the paper and of related work on this run.",
    "forgotten": "List what a recipe made the model forget, item by item, with its old and its new answer.",
    "compress": "Compress a checkpoint into a folder that loads elsewhere, a tensor at a time.",
    "advise": "Find the recipe that keeps most of what a model knows within a size.",
    "list": "List what there is.",
    "standards": "Make the small reference models whose knowledge is known.",
    "data": "Fetch the probes' data.",
}


class LazyCommand(TyperCommand):
    """A command whose module, ``NAME_command``, is imported when it is called or its help is asked.

    The module's function of the same name is the command; the typer application ``NAME_app`` of one that has commands
    of its own.
    """

    def loaded(self) -> Any:  # noqa: ANN401 - newer typer releases carry a click of their own
        """Import the command."""
        module = import_module(f"forgetmeter.cli.{self.name}_command")
        app = getattr(module, f"{self.name}_app", None)
        if app is None:
            app = typer.Typer(add_completion=False)
            app.command(self.name)(getattr(module, f"{self.name}_command"))
        return typer.main.get_command(app)

    def make_context(self, *arguments: Any, **options: Any) -> Any:  # noqa: ANN401
        """Read the arguments as the command itself does."""
        return self.loaded().make_context(*arguments, **options)


class LazyGroup(TyperGroup):
    """The whole program."""

    def __init__(self, **settings: Any) -> None:  # noqa: ANN401
        super().__init__(**settings)
        self.commands = {name: LazyCommand(name, help=summary) for name, summary in SUMMARIES.items()}

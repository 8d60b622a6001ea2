"""Printing text from a run's files, which may be untrusted."""

from __future__ import annotations

import sys

from rich.console import Console
from rich.text import Text

from forgetmeter.basics.visible_text import pictured, visible


def text_width(*, piped: int = 140) -> int:
    """Return the width of the terminal, or ``piped`` if there is none."""
    console = Console()
    return console.width if console.is_terminal else piped


def print_text(text: Text | str) -> None:
    """Print a text, styled on a terminal and plain elsewhere, with control characters replaced.

    Names of models, recipes and tasks come from the run's files; their control characters could set the window title
    or hide lines.
    """
    if isinstance(text, str):
        sys.stdout.write(visible(text))
        return
    # The length must not change, or styles would shift.
    text.plain = pictured(text.plain)
    console = Console()
    if console.is_terminal:
        console.print(text, soft_wrap=True)
    else:
        sys.stdout.write(text.plain)

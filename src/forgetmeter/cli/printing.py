"""Printing what is made from a run's files, which may be a stranger's."""

from __future__ import annotations

import sys

from rich.console import Console
from rich.text import Text

from forgetmeter.visible_text import pictured, visible


def print_text(text: Text | str) -> None:
    """Print a text with styles on a terminal and without them elsewhere; control characters are never sent.

    Names of models, recipes and tasks come from the run's files: printed as they are, they could set the window's title
    or hide lines.
    """
    if isinstance(text, str):
        sys.stdout.write(visible(text))
        return
    # Of the same length, so that styles stay where they are.
    text.plain = pictured(text.plain)
    console = Console()
    if console.is_terminal:
        console.print(text, soft_wrap=True)
    else:
        sys.stdout.write(text.plain)

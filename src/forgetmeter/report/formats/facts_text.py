"""Facts about a run for the terminal."""

from __future__ import annotations

from collections.abc import Sequence

from rich.text import Text

from forgetmeter.report.words.run_facts import FactGroup


def facts_text(groups: Sequence[FactGroup]) -> Text:
    """Return groups of facts as styled text, one fact per line."""
    text = Text()
    for group in groups:
        text.append(group.heading + "\n", "bold")
        for name, value in group.facts:
            text.append(f"  {name}: ", "dim")
            text.append(value + "\n")
    return text

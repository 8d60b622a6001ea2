"""Names of relations come from data sets, and are printed as text."""

from __future__ import annotations

import io

from rich.console import Console

from forgetmeter.cli.commands.list_command import relations_table
from forgetmeter.probes.by_relation import RelationCounts


def test_names_neither_control_the_terminal_nor_count_as_markup() -> None:
    stream = io.StringIO()
    relation = RelationCounts("P36\x1b[2J", "[red]capital\x07", "[X] is the capital of [Y]\u202e.", 2, {"too long": 1})
    Console(file=stream, width=200).print(relations_table([relation]))
    printed = stream.getvalue()
    assert not {"\x1b", "\x07", "\u202e"} & set(printed)
    assert "P36\\x1b[2J" in printed
    assert "[red]capital\\x07" in printed

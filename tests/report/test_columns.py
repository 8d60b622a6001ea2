"""Widths of text columns."""

from __future__ import annotations

import pytest
from rich.cells import cell_len

from forgetmeter.report.columns import Column, in_columns, shortened

ROWS = [["a short one", "x"], ["one that goes on for longer than there is room", "日本語の答え, which is wide"]]


@pytest.mark.parametrize("width", [30, 40, 60, 200])
def test_no_line_is_wider_than_allowed(width: int) -> None:
    text = in_columns([Column("asked"), Column("now")], ROWS, width=width).plain
    assert max(map(cell_len, text.splitlines())) <= width
    assert len(text.splitlines()) == 4


def test_it_is_as_wide_as_it_needs_to_be() -> None:
    lines = in_columns([Column("asked"), Column("n", "right")], [["a", "1"], ["bb", "22"]], width=80).plain.splitlines()
    assert lines == ["asked   n", "─────────", "a       1", "bb     22"]


def test_a_text_is_cut_at_the_end_that_matters_less() -> None:
    assert shortened("one two three", 8) == "one two…"
    assert shortened("one two three", 8, cut="start") == "…o three"
    assert shortened("one\n two", 8) == "one two"
    assert cell_len(shortened("日本語の答え", 7, cut="start")) <= 7

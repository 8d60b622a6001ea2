"""Progress on a terminal and elsewhere, with a clock set by hand."""

from __future__ import annotations

import io
from dataclasses import replace
from types import SimpleNamespace

import pytest

from forgetmeter.cli import progress as module
from forgetmeter.cli.progress import StageLines, progress_on
from forgetmeter.records.cell import Cell, Variant
from forgetmeter.specs.model_reference import parse_model_reference
from forgetmeter.specs.recipe import parse_recipe

RECIPE = "l1_unstructured:overall:0.5"
CELL = Cell(Variant("v", parse_model_reference("org/tiny"), parse_recipe(RECIPE)), "piqa")


def prospect(cells: list[Cell], missing: list[Cell], to_score: list[Cell]) -> SimpleNamespace:
    return SimpleNamespace(plan=SimpleNamespace(cells=cells), missing=missing, to_score=lambda: to_score)


# Three cells to do of four.
PROSPECT = prospect([CELL] * 4, [CELL] * 3, [CELL] * 3)


class Clock:
    now = 1000.0

    def monotonic(self) -> float:
        return self.now


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(module, "time", clock)
    return clock


def test_lines_give_the_rate_and_the_time_left(clock: Clock) -> None:
    stream = io.StringIO()
    with progress_on(stream, PROSPECT) as listener:
        listener.stage("loading org/tiny")
        listener.cell_started(CELL, items=100)
        clock.now += 10
        listener.cell_advanced(CELL, share=0.25)
        clock.now += 10
        listener.cell_advanced(CELL, share=0.5)
        clock.now += 10
        listener.cell_advanced(CELL, share=1.0)
        clock.now += 10
        listener.cell_finished(CELL, seconds=40.0)
        listener.cell_started(CELL, items=100)
        clock.now += 10
        listener.cell_failed(CELL, error="MemoryError: [no room]")
    # No line after 10 s. Half of the first cell took 20 s, so 2.5 cells take 100 s; later 40 s a cell for two.
    assert stream.getvalue().splitlines() == [
        "loading org/tiny",
        f"{RECIPE} on piqa: 50%; 1/4 cells, 2.5 items/s, 1:40 left",
        f"{RECIPE} on piqa: 100 items in 40.0 s (2.5 items/s); 2/4 cells, 1:20 left",
        f"failed: {RECIPE} on piqa: MemoryError: [no room]",
    ]


def test_a_cell_that_is_not_scored_gives_no_rate_and_no_estimate(clock: Clock) -> None:
    stream = io.StringIO()
    with progress_on(stream, PROSPECT) as listener:
        listener.cell_kept(CELL)
        listener.cell_started(CELL, items=100)
        clock.now += 40
        listener.cell_finished(CELL, seconds=40.0)
    assert stream.getvalue().splitlines() == [
        f"{RECIPE} on piqa: outcomes already stored; 2/4 cells",
        f"{RECIPE} on piqa: 100 items in 40.0 s (2.5 items/s); 3/4 cells, 0:40 left",
    ]


def test_the_amount_is_given_first_and_the_time_left_counts_tokens(clock: Clock) -> None:
    short, long = CELL, Cell(CELL.variant, "bear")
    tokens = {short: 1_234, long: 11_106}
    stream = io.StringIO()
    with progress_on(stream, prospect([short, long], [short, long], [short, long])) as listener:
        listener.amount(tokens)
        listener.cell_started(short, items=10)
        clock.now += 10
        listener.cell_finished(short, seconds=10.0)
    assert stream.getvalue().splitlines() == [
        "about 12,000 tokens to process; per variant, 1,200 on piqa, 11,000 on bear",
        f"{RECIPE} on piqa: 10 items in 10.0 s (1.0 items/s); 1/2 cells, 1:30 left",
    ]


def test_no_time_is_estimated_from_a_cell_that_is_a_tiny_part_of_the_work(clock: Clock) -> None:
    short, long = CELL, Cell(CELL.variant, "bear")
    stream = io.StringIO()
    with progress_on(stream, prospect([short, long], [short, long], [short, long])) as listener:
        listener.amount({short: 63, long: 73_000_000})
        listener.cell_started(short, items=3)
        clock.now += 1
        listener.cell_finished(short, seconds=1.0)
    assert stream.getvalue().endswith("1/2 cells, … left\n")


def test_a_cell_whose_answers_are_stored_does_not_count_in_the_time_left(clock: Clock) -> None:
    """Its variant's record is missing, so it is visited, but not read."""
    short, long, kept = (Cell(CELL.variant, task) for task in ("piqa", "bear", "boolq"))
    stream = io.StringIO()
    with progress_on(stream, prospect([short, long, kept], [short, long, kept], [short, long])) as listener:
        listener.amount({short: 1_000, long: 3_000})
        listener.cell_started(short, items=10)
        clock.now += 10
        listener.cell_finished(short, seconds=10.0)
        listener.cell_kept(kept)
    assert stream.getvalue().splitlines()[-1] == f"{RECIPE} on boolq: outcomes already stored; 2/3 cells"
    assert "1/3 cells, 0:30 left" in stream.getvalue()


def test_hours_are_shown_where_there_are_any(clock: Clock) -> None:
    stream = io.StringIO()
    with progress_on(stream, PROSPECT) as listener:
        listener.cell_started(CELL, items=1)
        clock.now += 3661
        listener.cell_finished(CELL, seconds=3661.0)
    assert stream.getvalue().endswith("2/4 cells, 2:02:02 left\n")


def test_a_terminal_gets_a_live_line(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "160")
    stream = Terminal()
    with progress_on(stream, PROSPECT) as listener:
        listener.cell_started(CELL, items=100)
        clock.now += 4
        listener.cell_advanced(CELL, share=0.1)
        clock.now += 16
        listener.cell_advanced(CELL, share=0.5)
    assert f"{RECIPE} · piqa" in stream.getvalue()
    assert "1/4 cells, 2.5 items/s, 1:40 left" in stream.getvalue()


def test_preparation_does_not_count_in_the_first_estimate(clock: Clock) -> None:
    """Tokenizing a large task takes minutes, before the first of many batches."""
    stream = io.StringIO()
    with progress_on(stream, PROSPECT) as listener:
        clock.now += 20
        listener.cell_started(CELL, items=1000)
        clock.now += 120
        listener.cell_advanced(CELL, share=0.001)
        clock.now += 20
        listener.cell_advanced(CELL, share=0.021)
    assert stream.getvalue().splitlines() == [
        f"{RECIPE} on piqa: 0%; 1/4 cells, 0.0 items/s, … left",
        f"{RECIPE} on piqa: 2%; 1/4 cells, 0.1 items/s, 49:39 left",
    ]


def test_a_terminal_counts_a_cell_that_is_not_scored(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "160")
    stream = Terminal()
    with progress_on(stream, PROSPECT) as listener:
        listener.cell_kept(CELL)
    assert "2/4 cells, … items/s, … left" in stream.getvalue()


def test_stages_are_a_line_each() -> None:
    stream = io.StringIO()
    lines = StageLines(stream)
    lines.stage("reading tasks")
    lines.cell_started(CELL, items=3)
    assert stream.getvalue() == "reading tasks\n"


def test_the_parts_of_a_stage_are_counted_in_place_on_a_terminal_only() -> None:
    plain, terminal = io.StringIO(), Terminal()
    for stream in (plain, terminal):
        lines = StageLines(stream)
        lines.stage("computing sizes")
        for done in range(1, 4):
            lines.stage_advanced(done, 3)
        lines.stage("next")
    assert plain.getvalue() == "computing sizes\nnext\n"
    assert terminal.getvalue() == "computing sizes\n\r\x1b[K1 of 3\r\x1b[K2 of 3\r\x1b[Knext\n"


def test_names_do_not_control_the_terminal(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    name = "loading ./[red]tiny\x1b]0;pwned\x07\x9b2J"
    shown = "loading ./[red]tiny\\x1b]0;pwned\\x07\\u009b2J"
    plain, lines, live = io.StringIO(), io.StringIO(), Terminal()
    StageLines(lines).stage(name)
    with progress_on(plain, PROSPECT) as listener:
        listener.stage(name)
        listener.cell_failed(CELL, error=name)
    assert lines.getvalue() == f"{shown}\n"
    assert plain.getvalue() == f"{shown}\nfailed: {RECIPE} on piqa: {shown}\n"
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "200")
    with progress_on(live, PROSPECT) as listener:
        listener.stage(name)
        listener.cell_failed(CELL, error=name)
    assert live.getvalue().count(shown) == 2
    assert "\x07" not in live.getvalue()


def test_a_cell_that_is_slower_than_the_others_lasts_as_long_as_its_own_pace_says(clock: Clock) -> None:
    cells = [replace(CELL, task=name) for name in ("one", "two", "slow")]
    stream = io.StringIO()
    with progress_on(stream, prospect(cells, cells, cells)) as listener:
        for cell in cells[:2]:
            listener.cell_started(cell, items=20)
            clock.now += 1
            listener.cell_advanced(cell, share=1.0)
            listener.cell_finished(cell, seconds=1.0)
        listener.cell_started(cells[2], items=20)
        clock.now += 10
        listener.cell_advanced(cells[2], share=0.1)
        clock.now += 30
        listener.cell_advanced(cells[2], share=0.4)
    # 60% of the cell are left, and 30% took 30 seconds.
    assert "40%; 2/3 cells, 0.2 items/s, 1:00 left" in stream.getvalue()

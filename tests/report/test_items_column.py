"""Variants of a task that were scored on different items."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from made_up_run import RunBuilder

from forgetmeter.records.item import Item, Request, Requests
from forgetmeter.records.outcome import Outcome
from forgetmeter.report.formats.flat_rows import flat_rows
from forgetmeter.report.formats.frontier_text import frontier_text
from forgetmeter.report.formats.show_markdown import show_markdown
from forgetmeter.report.formats.show_text import shifts_text, show_text
from forgetmeter.report.words.run_facts import run_facts
from forgetmeter.results.results import Results, open_run

MODEL, SHORT, OTHER, SAME = "org/tiny", "l1_heads:attention:0.5", "dynamic_int8:overall", "l1_unstructured:overall:0.5"
SCORED = {"baseline": range(8), SHORT: range(2), OTHER: range(2, 10), SAME: range(8)}
"""The items that each variant was scored on, of ten."""
TOO_LONG = "longer than the model reads"


def outcomes(task: str, places: Sequence[int]) -> list[Outcome]:
    if task == "measured":
        return [Outcome(f"{task}/{place}", None, "", "", None, None, (-1.0,), {"acc": 0.4}) for place in places]
    return [Outcome(f"{task}/{place}", place != 3, "x", "x", 1, 0.5, (-1.0, -2.0)) for place in places]


@pytest.fixture
def run(tmp_path) -> Results:
    location = str(tmp_path / "run")
    builder = RunBuilder(location, models=[MODEL], recipes=list(SCORED), tasks=["asked", "measured"])
    for task in ("asked", "measured"):
        requests = Requests([Request("a", "x"), Request("a", "y")])
        builder.items(task, [Item(f"{task}/{place}", str(place), requests, ("x", "y"), (0,)) for place in range(10)])
        for recipe, places in SCORED.items():
            left = 10 - len(places)
            about = {"dropped": {TOO_LONG: left}, "left_out": {TOO_LONG: f"{task}/{left}"}}
            metrics = {"metrics": {"perplexity": 2.0}} if task == "measured" else {}
            builder.outcomes(recipe, task, outcomes(task, list(places)), **about, **metrics)
    return open_run(location)


def test_each_variant_has_its_number_of_items_where_these_differ(run: Results) -> None:
    text = show_text(run.summary, width=200)
    lines = [line for line in text.splitlines() if line.startswith(tuple(SCORED))]
    shown = {recipe: [line for line in lines if line.startswith(recipe)] for recipe in SCORED}
    assert [line.split()[-1] for line in shown["baseline"]] == ["8", "8"]
    assert [line.split()[-1] for line in shown[SHORT]] == ["2", "2"]
    # Six of its eight items are the baseline's, too.
    assert shown[OTHER][0].endswith("8 (6 paired)")
    assert [(cell.items, cell.paired) for cell in run.summary.cells] == [(8, None), (2, 2), (8, 6), (8, 8)]
    assert [*run.comparisons["paired"].iloc[1:]] == [2, 6, 8]
    assert "| recipe | accuracy | drop \\[95%\\] | retained | gained | flips | p (Holm) | items |" in show_markdown(
        run.summary
    )
    assert "  items  " in text.partition("How to read this")[2]


def test_what_others_leave_out_is_said(run: Results) -> None:
    lines = show_text(run.summary, width=200).splitlines()
    title = next(line for line in lines if line.startswith("asked ·"))
    assert title.startswith(f"asked · 8 items · 2 left out ({TOO_LONG}: asked/2) · ")
    assert f"asked, {SHORT}: 8 left out ({TOO_LONG}: asked/8)." in lines
    assert f"measured, {SHORT}: 8 left out ({TOO_LONG}: measured/8)." in lines
    assert not any(line.startswith(f"asked, {SAME}") for line in lines)
    (tasks,) = [group for group in run_facts(run.run, run.summary) if group.heading == "Tasks"]
    assert (f"asked, {MODEL}", f"not scorable: 2 {TOO_LONG}") in tasks.facts
    assert (f"measured, {MODEL}: attention: 50% of heads pruned", f"not scorable: 8 {TOO_LONG}") in tasks.facts
    rows = {(row["recipe"], row["task"]): row[f"dropped.{TOO_LONG}"] for row in flat_rows(run.summary)}
    assert (rows[SHORT, "asked"], rows[SHORT, "measured"], rows["baseline", "measured"]) == (8, 8, 2)


def test_the_other_tables_say_it_too(run: Results) -> None:
    shifts = shifts_text(run.summary, width=200).plain
    assert next(line for line in shifts.splitlines() if line.startswith(SHORT)).split()[-1] == "2"
    (frontier,) = run.frontiers
    assert {point.recipe: point.items for point in frontier.points} == {"baseline": 8, SHORT: 2, OTHER: 6, SAME: 8}
    text = frontier_text(frontier, width=200).plain
    assert text.splitlines()[1].split()[:4] == ["recipe", "retained", "[95%]", "items"]
    assert run.frontier.set_index("recipe")["items"].to_dict() == {"baseline": 8, SHORT: 2, OTHER: 6, SAME: 8}


def test_a_ratio_is_that_of_the_same_items(run: Results) -> None:
    # Another variant measured as many, but not the same.
    assert [bool(cell.ratios) for cell in run.summary.measured] == [False, False, False, True]


def test_variants_of_the_same_items_need_no_column(tmp_path) -> None:
    builder = RunBuilder(str(tmp_path / "run"), models=[MODEL], recipes=["baseline", SAME], tasks=["asked"])
    for recipe in ("baseline", SAME):
        builder.outcomes(recipe, "asked", outcomes("asked", range(8)), dropped={TOO_LONG: 2})
    text = show_text(open_run(str(tmp_path / "run")).summary, width=200)
    assert "  items" not in text
    assert text.count("left out") == 1
